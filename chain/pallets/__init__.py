"""One room per pallet, named and shaped as in Substrate where Substrate has it."""
