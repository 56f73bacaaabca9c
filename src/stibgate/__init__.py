"""Durable webhook receiver and prospecting push gateway for the Stibnite Person Data API."""

__version__ = "0.1.0"
