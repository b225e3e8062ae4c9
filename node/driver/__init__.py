"""Carries out the effects of the consensus core: votes made durable before they leave."""
