from support.plugged import nothing_stays as nothing_stays
