//! Who plays what.

use std::collections::HashMap;

use crate::{
    rehearsal::{Name, Role, Scenario},
    supervision::{SpecError, Supervisor},
};

pub(super) fn machine(scenario: &Scenario) -> Result<Supervisor<Name>, SpecError<Name>> {
    let specs = scenario.children.iter().map(|role| role.spec.clone()).collect();
    Supervisor::new(scenario.spec, specs)
}

/// Notes every role of the tree, but none under a supervisor that makes no sense: it never starts.
pub(super) fn cast(
    roles: &mut HashMap<Name, Role>,
    children: Vec<Role>,
) -> Result<(), SpecError<Name>> {
    for role in children {
        if let Some(nested) = role.nested.as_ref().filter(|nested| machine(nested).is_ok()) {
            cast(roles, nested.children.clone())?;
        }
        if roles.contains_key(&role.spec.id) {
            return Err(SpecError::DuplicateChild(role.spec.id));
        }
        roles.insert(role.spec.id.clone(), role);
    }
    Ok(())
}
