//! How one resource is divided among those who want it. Plain arithmetic; nothing is remembered.
//!
//! Three phases. What is *guaranteed* comes first: everybody's stated guarantee, then, tier after
//! tier, what rolling use says above it. What is wanted beyond comes from the *pool* that is left,
//! again tier after tier. Where a higher tier's wishes find the pool empty, it *preempts*: what the
//! tiers below were guaranteed above their stated guarantee goes to it.

use super::Tier;

/// What one member brings into the division of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) tier: Tier,
    /// Guaranteed whatever happens.
    pub(crate) stated: u64,
    /// What rolling use says should be guaranteed.
    pub(crate) rolling: u64,
    /// What it uses, or would if it were not squeezed.
    pub(crate) demand: u64,
}

/// What one member gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Portion {
    /// Its guarantee now; at least the stated one.
    pub(crate) guarantee: u64,
    /// What it may use now; never more than its demand.
    pub(crate) allotment: u64,
}

/// Divides `budget`. The stated guarantees must fit into it: that is what admission is for.
///
/// The guarantees together are at most the budget, and so are the allotments. An allotment is less
/// than the demand only where every lower tier is at its stated guarantee.
pub(crate) fn divide(budget: u64, wishes: &[Wish]) -> Vec<Portion> {
    let mut portions: Vec<Portion> =
        wishes.iter().map(|wish| Portion { guarantee: wish.stated, allotment: 0 }).collect();
    let mut unpromised = budget.saturating_sub(wishes.iter().map(|wish| wish.stated).sum());
    for tier in Tier::FROM_THE_TOP {
        let above = |at: usize| wishes[at].rolling.saturating_sub(wishes[at].stated);
        for (at, granted) in shared(unpromised, asks(tier, wishes, above)) {
            portions[at].guarantee += granted;
            unpromised -= granted;
        }
        let burst: u64 = asks(tier, wishes, |at| wishes[at].beyond(portions[at]))
            .iter()
            .map(|(amount, _)| amount)
            .sum();
        unpromised = unpromised.saturating_sub(burst);
    }
    for (wish, portion) in wishes.iter().zip(&mut portions) {
        portion.allotment = wish.demand.min(portion.guarantee);
    }
    let mut pool = budget.saturating_sub(portions.iter().map(|portion| portion.allotment).sum());
    for tier in Tier::FROM_THE_TOP {
        let beyond = asks(tier, wishes, |at| wishes[at].beyond(portions[at]));
        for (at, granted) in shared(pool, beyond) {
            portions[at].allotment += granted;
            pool -= granted;
        }
    }
    portions
}

impl Wish {
    /// What is wanted above the guarantee.
    fn beyond(&self, portion: Portion) -> u64 {
        self.demand.saturating_sub(portion.guarantee)
    }
}

/// What the members of one tier ask for, with their positions.
fn asks(tier: Tier, wishes: &[Wish], amount: impl Fn(usize) -> u64) -> Vec<(u64, usize)> {
    let members = wishes.iter().enumerate().filter(|(_, wish)| wish.tier == tier);
    members.map(|(at, _)| (amount(at), at)).collect()
}

/// What each position gets out of `rest`; when it is not enough, nobody gets more than anyone who
/// is short.
fn shared(mut rest: u64, mut asks: Vec<(u64, usize)>) -> impl Iterator<Item = (usize, u64)> {
    // The smallest wishes first: what they leave of an equal share goes to those after them.
    asks.sort_unstable();
    let mut left = asks.len() as u64;
    asks.into_iter().map(move |(amount, at)| {
        let granted = amount.min(rest / left);
        rest -= granted;
        left -= 1;
        (at, granted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wish(tier: Tier, stated: u64, rolling: u64, demand: u64) -> Wish {
        Wish { tier, stated, rolling, demand }
    }

    fn divided(budget: u64, wishes: &[Wish]) -> Vec<(u64, u64)> {
        let portions = divide(budget, wishes).into_iter();
        portions.map(|portion| (portion.guarantee, portion.allotment)).collect()
    }

    #[test]
    fn while_there_is_enough_everybody_gets_what_it_wants() {
        let wishes = [wish(Tier::Critical, 10, 30, 40), wish(Tier::Standard, 0, 20, 50)];
        assert_eq!(divided(100, &wishes), [(30, 40), (20, 50)]);
    }

    #[test]
    fn the_lowest_tier_is_short_first_down_to_what_was_stated() {
        let wishes = [
            wish(Tier::Critical, 20, 20, 70),
            wish(Tier::Core, 10, 10, 30),
            wish(Tier::Standard, 5, 40, 50),
        ];
        assert_eq!(divided(100, &wishes), [(20, 70), (10, 25), (5, 5)]);
    }

    #[test]
    fn an_unused_guarantee_is_lent_and_those_alike_share_alike() {
        let wishes = [
            wish(Tier::Core, 50, 50, 10),
            wish(Tier::Standard, 0, 0, 80),
            wish(Tier::Standard, 0, 0, 20),
        ];
        assert_eq!(divided(100, &wishes), [(50, 10), (0, 70), (0, 20)]);
    }

    fn any_wish() -> impl Strategy<Value = Wish> {
        let tier = proptest::sample::select(Tier::FROM_THE_TOP.to_vec());
        (tier, 0_u64..200, 0_u64..500, 0_u64..600)
            .prop_map(|(tier, stated, rolling, demand)| wish(tier, stated, rolling, demand))
    }

    proptest! {
        #[test]
        fn nothing_is_promised_or_allotted_twice_and_tiers_are_short_from_below(
            wishes in proptest::collection::vec(any_wish(), 0..8),
            more in 0_u64..1500,
        ) {
            let budget = wishes.iter().map(|wish| wish.stated).sum::<u64>() + more;
            let portions = divide(budget, &wishes);
            prop_assert!(portions.iter().map(|it| it.guarantee).sum::<u64>() <= budget);
            prop_assert!(portions.iter().map(|it| it.allotment).sum::<u64>() <= budget);
            for (wish, portion) in wishes.iter().zip(&portions) {
                prop_assert!(portion.guarantee >= wish.stated);
                prop_assert!(portion.allotment >= wish.demand.min(portion.guarantee));
                prop_assert!(portion.allotment <= wish.demand);
                if portion.allotment == wish.demand {
                    continue;
                }
                for (other, below) in wishes.iter().zip(&portions) {
                    if other.tier > wish.tier {
                        prop_assert_eq!(below.guarantee, other.stated);
                        prop_assert!(below.allotment <= below.guarantee);
                    }
                }
            }
        }
    }
}
