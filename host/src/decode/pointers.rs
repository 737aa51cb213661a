//! The JSON pointers that were asked for, as a tree that is walked beside the document.

/// Deepest nesting of a JSON document, as `serde_json` has it; deeper pointers find nothing.
pub(super) const DEPTH_MAX: usize = 127;

/// A tree of pointers; node 0 is the document.
#[derive(Debug)]
pub(super) struct Pointers {
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
}

#[derive(Debug)]
struct Child {
    name: Box<[u8]>,
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
    pub(super) fn insert(&mut self, tokens: &[Box<str>], slot: usize) {
        if tokens.len() > DEPTH_MAX {
            return;
        }
        let mut at = 0;
        for token in tokens {
            let name = token.as_bytes();
            let known = self.nodes[at].children.iter().find(|child| *child.name == *name);
            at = match known {
                Some(child) => child.node,
                None => {
                    let node = self.nodes.len();
                    self.nodes.push(Node::default());
                    let parent = &mut self.nodes[at];
                    parent.lengths |= length_bit(name.len());
                    parent.children.push(Child {
                        name: name.into(),
                        index: array_index(name),
                        node,
                    });
                    node
                }
            };
        }
        self.nodes[at].slot = Some(slot);
    }

    /// Whether no pointer was added.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// The document's own node.
    #[inline]
    pub(super) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// The child of a node by an object's key.
    #[inline]
    pub(super) fn by_key(&self, node: &Node, key: &[u8]) -> Option<&Node> {
        if node.lengths & length_bit(key.len()) == 0 {
            return None;
        }
        let child = node.children.iter().find(|child| *child.name == *key)?;
        Some(&self.nodes[child.node])
    }

    /// The child of a node by an array's index.
    pub(super) fn by_index(&self, node: &Node, index: usize) -> Option<&Node> {
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

#[inline]
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// RFC 6901: digits without leading zeros.
fn array_index(name: &[u8]) -> Option<usize> {
    if name.len() > 1 && name[0] == b'0' || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}
