//! (PlanInput, Policy) -> (Plan, PlanReport). Pure.
