"""Recipes trained on one data set and held side by side."""
