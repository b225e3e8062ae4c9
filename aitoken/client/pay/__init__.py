"""The buyer's side: sessions, vouchers and receipts of one purse, and requests that are paid from it."""
