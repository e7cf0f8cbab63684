"""The use cases: each takes a unit of work, changes rows and logs what it did, and knows neither HTTP nor Redis."""
