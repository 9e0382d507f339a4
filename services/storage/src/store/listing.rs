//! All blocks, page by page, in the order of their shards and, within one, of their names.

use std::collections::BTreeSet;

use super::{
    Block, BlockId, Store, StoreError,
    layout::{self, Shard},
};

/// Some of the blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the store's order.
    pub blocks: Vec<Block>,
    /// After which block the next page begins; `None` if this is the last page.
    pub next: Option<BlockId>,
}

pub(super) fn list(
    store: &Store,
    after: Option<BlockId>,
    length: usize,
) -> Result<Page, StoreError> {
    // One more than asked for tells whether there is a next page.
    let mut page = Filling { store, blocks: Vec::new(), wanted: length.saturating_add(1) };
    let first = after.map(|after| after.shard());
    for shard in
        shards(store)?.into_iter().filter(|shard| first.is_none_or(|first| *shard >= first))
    {
        let after = after.filter(|_| Some(shard) == first);
        page.add(shard, after.map(|after| after.to_string()))?;
        if page.missing() == 0 {
            break;
        }
    }
    let mut blocks = page.blocks;
    let more = blocks.len() > length;
    blocks.truncate(length);
    let next = blocks.last().filter(|_| more).map(|block| block.id);
    Ok(Page { blocks, next })
}

fn shards(store: &Store) -> Result<BTreeSet<Shard>, StoreError> {
    layout::names(store.layout().blocks(), Shard::parse)?.collect()
}

struct Filling<'a> {
    store: &'a Store,
    blocks: Vec<Block>,
    wanted: usize,
}

impl Filling<'_> {
    fn missing(&self) -> usize {
        self.wanted - self.blocks.len()
    }

    /// Adds what is missing from a shard. Blocks that vanish between being named and looked at are made
    /// up for, so that none after them is passed over.
    fn add(&mut self, shard: Shard, mut after: Option<String>) -> Result<(), StoreError> {
        loop {
            let wanted = self.missing();
            let names = self.names(shard, after.as_deref())?;
            let exhausted = names.len() < wanted;
            after = names.last().cloned();
            for name in names {
                let id = name.parse().expect("only names of blocks were collected");
                match self.store.stat(id) {
                    Ok(block) => self.blocks.push(block),
                    Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if exhausted || self.missing() == 0 {
                return Ok(());
            }
        }
    }

    /// The first names of a shard after the given one: as many as are missing, however large the shard.
    fn names(&self, shard: Shard, after: Option<&str>) -> Result<BTreeSet<String>, StoreError> {
        let folder = self.store.layout().shard(shard);
        let following =
            |name: &str| after.is_none_or(|after| name > after).then(|| name.to_owned());
        let is_block = |name: &str| name.parse::<BlockId>().is_ok_and(|id| id.shard() == shard);
        let mut first = BTreeSet::new();
        for name in layout::names(&folder, following)? {
            let name = name?;
            let full = first.len() == self.missing();
            // Most names of a large shard are beyond the page, and need not be parsed.
            if full && first.last().is_some_and(|last| name > *last) || !is_block(&name) {
                continue;
            }
            if full {
                first.pop_last();
            }
            first.insert(name);
        }
        Ok(first)
    }
}
