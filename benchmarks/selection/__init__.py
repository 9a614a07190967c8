"""How the weights of an ensemble are chosen, measured on clips that they were not chosen on."""
