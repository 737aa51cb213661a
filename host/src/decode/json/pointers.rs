//! The JSON pointers that were asked for, as a tree that is walked beside the document.

use rustc_hash::FxHashMap;

/// Deepest nesting of a JSON document, as `serde_json` has it; deeper pointers find nothing.
pub(super) const DEPTH_MAX: usize = 127;

/// A tree of pointers; node 0 is the document.
#[derive(Debug)]
pub(in crate::decode) struct Pointers {
    nodes: Vec<Node>,
}

/// A place on the way to, or at, one that was asked for.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The slot, when the place itself was asked for.
    pub(super) slot: Option<usize>,
    children: Vec<Child>,
    /// Lengths of the children's names, as bits; the last stands for all that are longer.
    lengths: u64,
    /// The children's nodes by name, where there are many.
    by_name: FxHashMap<Box<[u8]>, usize>,
    /// One more than the highest index into an array that a child's name is.
    indices: usize,
}

/// Children that are compared one by one.
const COMPARED_MAX: usize = 8;

#[derive(Debug)]
struct Child {
    name: Box<[u8]>,
    /// The first eight bytes of the name, zeros behind its end.
    prefix: u64,
    /// The name as an index into an array.
    index: Option<usize>,
    node: usize,
}

impl Default for Pointers {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Pointers {
    /// Adds a pointer; a deeper one than any document is left out.
    pub(in crate::decode) fn insert(&mut self, tokens: &[Box<str>], slot: usize) {
        if tokens.len() > DEPTH_MAX {
            return;
        }
        let mut at = 0;
        for token in tokens {
            let name = token.as_bytes();
            at = match self.by_key(&self.nodes[at], name, 0, name.len()) {
                Some(node) => node,
                None => {
                    let node = self.nodes.len();
                    self.nodes.push(Node::default());
                    let parent = &mut self.nodes[at];
                    parent.lengths |= length_bit(name.len());
                    let index = array_index(name);
                    parent.indices = parent.indices.max(index.map_or(0, |index| index + 1));
                    parent.children.push(Child {
                        name: name.into(),
                        prefix: prefix(name, 0, name.len()),
                        index,
                        node,
                    });
                    if parent.children.len() > COMPARED_MAX {
                        let children = parent.children.iter();
                        parent.by_name =
                            children.map(|child| (child.name.clone(), child.node)).collect();
                    }
                    node
                }
            };
        }
        self.nodes[at].slot = Some(slot);
    }

    /// Whether no pointer was added.
    pub(in crate::decode) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// The document's own node.
    #[inline]
    pub(super) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// A node by its index.
    #[inline(always)]
    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The child of a node by an object's key, which is `bytes[start..end]`.
    #[inline(always)]
    pub(super) fn by_key(
        &self,
        node: &Node,
        bytes: &[u8],
        start: usize,
        end: usize,
    ) -> Option<usize> {
        if node.lengths & length_bit(end - start) == 0 {
            return None;
        }
        if node.children.len() > COMPARED_MAX {
            return node.by_name.get(&bytes[start..end]).copied();
        }
        let prefix = prefix(bytes, start, end);
        let child = node.children.iter().find(|child| {
            child.prefix == prefix
                && child.name.len() == end - start
                && (child.name.len() <= 8 || *child.name == bytes[start..end])
        })?;
        Some(child.node)
    }

    /// The child of a node by an array's index.
    pub(super) fn by_index(&self, node: &Node, index: usize) -> Option<&Node> {
        if index >= node.indices {
            return None;
        }
        let child = node.children.iter().find(|child| child.index == Some(index))?;
        Some(&self.nodes[child.node])
    }

    /// Calls `each` with the slots below a node.
    pub(super) fn each_below(&self, node: &Node, each: &mut dyn FnMut(usize)) {
        for child in &node.children {
            let node = &self.nodes[child.node];
            if let Some(slot) = node.slot {
                each(slot);
            }
            self.each_below(node, each);
        }
    }
}

impl Node {
    /// Whether something inside the place was asked for.
    #[inline]
    pub(super) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}

/// The first eight of `bytes[start..end]` as a number, zeros for those that are not there.
#[inline(always)]
fn prefix(bytes: &[u8], start: usize, end: usize) -> u64 {
    let length = end - start;
    match bytes.get(start..).and_then(<[u8]>::first_chunk) {
        Some(eight) if length >= 8 => u64::from_le_bytes(*eight),
        Some(eight) => u64::from_le_bytes(*eight) & !(u64::MAX << (length * 8)),
        None => {
            let mut eight = [0; 8];
            eight[..length.min(8)].copy_from_slice(&bytes[start..start + length.min(8)]);
            u64::from_le_bytes(eight)
        }
    }
}

#[inline(always)]
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// RFC 6901: digits without leading zeros.
fn array_index(name: &[u8]) -> Option<usize> {
    if name.len() > 1 && name[0] == b'0' || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // No document has so many items that the highest number is one's index.
    std::str::from_utf8(name).ok()?.parse().ok().filter(|index| *index < usize::MAX)
}
