"""Networks, losses, teacher, and the stages of training."""
