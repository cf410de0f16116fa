"""Looking inside recurrent networks: how gradients travel through time, and along which paths.

Every measurement is a function of a module and an input that gives a tidy pandas frame; what a
frame looks like is drawn by `odyssey.report`. `docs/diagnostics.md` has the definitions. May import
torch and everything up to `odyssey.training`; draws nothing.

`recurrence.py` is one step of any recurrent module, `conditions.py` what is measured on, and
`measure.py` all measurements of it. `gradients.py` has norms and horizons, `spectra.py` Jacobians
and Lyapunov exponents, `paths.py` the ways of a gradient, `meanfield.py` what theory predicts,
`tidy.py` frames of tensors. `recording.py` keeps the values of units over a text, `probes.py` marks
the text, `unit_scores.py` compares the two. `predictions.py` has the loss of every symbol,
`mistakes.py` sorts errors by oracles. `attention.py` says where models
look in pictures. Of what models write, `brackets.py` counts what is closed, `latex.py` what
compiles; `painting.py` judges pictures by models that paint.

To add a measurement: a file here with a function that gives a frame, and a plot of that frame
in `odyssey/report/`.
"""
