//! How a budget stands: who is guaranteed what, and what all want.

/// One resource of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<Id> {
    /// What there is: thousandths of a CPU, or bytes.
    pub budget: u64,
    /// Everybody who has a guarantee of it, even one of nothing.
    pub members: Vec<Guaranteed<Id>>,
}

/// What one member has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guaranteed<Id> {
    /// Which instance.
    pub id: Id,
    /// What is kept for it.
    pub guarantee: u64,
    /// What it uses, or would use if it were not held back.
    pub wanted: u64,
    /// Whether it is held back.
    pub is_squeezed: bool,
}

impl<Id> Standing<Id> {
    /// What all are guaranteed together; never more than the budget.
    pub fn guaranteed(&self) -> u64 {
        self.members.iter().map(|member| member.guarantee).sum()
    }

    /// What all want together.
    pub fn wanted(&self) -> u64 {
        self.members.iter().map(|member| member.wanted).sum()
    }

    /// Who is held back.
    pub fn squeezed(&self) -> impl Iterator<Item = &Id> {
        self.members.iter().filter(|member| member.is_squeezed).map(|member| &member.id)
    }
}
