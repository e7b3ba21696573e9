"""Distillation of a diffusion into a student that needs only a few steps.

===========  ===================================================  =============================================
method       the student                                          source
===========  ===================================================  =============================================
consistency  predicts where the teacher's ODE ends                Song et al. 2023, arXiv:2303.01469
reflow       is trained on the teacher's (noise, sample) pairs,   Liu, Gong & Liu 2023, arXiv:2209.03003
             between which the ODE then runs straighter
===========  ===================================================  =============================================

The teacher's guidance is distilled into the student, which then needs one evaluation per step.
"""
