//! The product on a seeded clock: fleets, baselines, backtest, scenarios.
