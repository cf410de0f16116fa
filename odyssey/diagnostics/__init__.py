"""Looking inside recurrent networks: how gradients travel through time, and along which paths.

Every measurement is a function of a module and an input that gives a tidy pandas frame; what a
frame looks like is drawn by `odyssey.report`. `docs/diagnostics.md` has the definitions. May import
torch and everything up to `odyssey.training`; draws nothing.

To add a measurement: a file here with a function that gives a frame, and a plot of that frame
in `odyssey/report/`.
"""
