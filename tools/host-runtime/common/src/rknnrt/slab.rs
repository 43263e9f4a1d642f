//! Handles that are numbers, not addresses: a dead one is known as dead, even where its place is taken.

/// Values by id. An id is `generation << 32 | place + 1`, and never 0.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, value: T) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            (self.places.len() - 1) as u32
        });
        let (generation, held) = &mut self.places[place as usize];
        *generation = generation.wrapping_add(1);
        *held = Some(value);
        u64::from(*generation) << 32 | (u64::from(place) + 1)
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        let (generation, held) = self.places.get(place(id)?)?;
        held.as_ref().filter(|_| *generation == (id >> 32) as u32)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<T> {
        self.get(id)?;
        let place = place(id)?;
        self.free.push(place as u32);
        self.places[place].1.take()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

fn place(id: u64) -> Option<usize> {
    (id as u32).checked_sub(1).map(|place| place as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_id_stays_dead() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!((slab.get(a), slab.get(b), slab.len()), (Some(&'a'), Some(&'b'), 2));
        assert_eq!((slab.remove(a), slab.remove(a), slab.get(a)), (Some('a'), None, None));
        let c = slab.insert('c');
        assert_ne!(a, c, "the place is the same, the id is not");
        assert_eq!((a as u32, slab.get(a), slab.get(c)), (c as u32, None, Some(&'c')));
        for id in [0, 1, u64::MAX, 1 << 32, b + 1, b ^ (1 << 40)] {
            assert_eq!(slab.get(id), None, "{id:#x}");
        }
    }
}
