"""Networks that predict, from a noisy sample and a time, whatever the diffusion around them asks for."""
