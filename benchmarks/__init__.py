"""What genzoo's models, exports and commands cost, beside their peers and the limits of the machine."""
