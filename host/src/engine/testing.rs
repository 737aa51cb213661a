//! Tiny guests for tests, from text: a core module with our interface, whose `evaluate` runs a few
//! instructions for every row.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Texts that guests point to: title, topic, refusal, panic, log line.
const TEXTS: &str = "tally|derived|I refuse|boom at row|a line";

/// Address and length of one of [`TEXTS`].
fn text(which: &str) -> (usize, usize) {
    (256 + TEXTS.find(which).expect("a known text"), which.len())
}

/// A guest that declares one field, `host`, and does `each_row` for every row.
///
/// `each_row` is WebAssembly text. It may use the locals `$row` and `$rows` (i32) and `$offset`
/// (i64), the functions `$notify (row)`, `$emit (row)`, `$panic`, `$line`, `$grow (pages)`, `$deep`
/// (endless recursion), and the globals `$refused` (when it is set, `evaluate` returns an error) and
/// `$named` (when it is set, notifications ask for the channel `derived`).
pub(crate) fn guest(each_row: &str) -> Vec<u8> {
    let mut module = wat::parse_str(source(each_row)).expect("valid text");
    embed(&mut module);
    module
}

/// A core module of `source`, with the interface of wit/0.1.0.
pub(crate) fn embed(module: &mut Vec<u8>) {
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/0.1.0");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).expect("the contract");
    let world = resolve.select_world(&[package], Some("rule")).expect("the world");
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8, false).expect("embeds");
}

fn source(each_row: &str) -> String {
    let (title, title_len) = text("tally");
    let (topic, topic_len) = text("derived");
    let (refusal, refusal_len) = text("I refuse");
    let (panic, panic_len) = text("boom at row");
    let (line, line_len) = text("a line");
    format!(
        r#"
(module
  (import "firebell:rule/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "firebell:rule/log@0.1.0" "panicked" (func $panicked (param i32 i32)))
  (memory (export "memory") 2)
  ;; describe: ok, no topics, one field at 64, no condition
  (data (i32.const 16) "\00\00\00\00" "\00\00\00\00\00\00\00\00" "\40\00\00\00\01\00\00\00"
    "\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 64) "\60\00\00\00\04\00\00\00" "\64\00\00\00\05\00\00\00" "\00\00\00\00")
  (data (i32.const 96) "host/host")
  (data (i32.const 256) "{TEXTS}")
  (global $heap (mut i32) (i32.const 65536))
  (global $effects (mut i32) (i32.const 0))
  (global $count (mut i32) (i32.const 0))
  (global $refused (mut i32) (i32.const 0))
  (global $named (mut i32) (i32.const 0))
  (global $title_len (mut i32) (i32.const {title_len}))
  (func $allocate (export "cabi_realloc")
    (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
      (then (call $grow (i32.add (i32.const 1) (i32.div_u (local.get $len) (i32.const 65536))))))
    (local.get $at))
  (func $grow (param $pages i32)
    (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable)))
  (func $panic (call $panicked (i32.const {panic}) (i32.const {panic_len})) unreachable)
  (func $line (call $log (i32.const 1) (i32.const {line}) (i32.const {line_len})))
  (func $deep (call $deep) (global.set $count (i32.const 0)))
  (func $effect (result i32)
    (local $at i32)
    (local.set $at (call $allocate (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 88)))
    (if (i32.eqz (global.get $count)) (then (global.set $effects (local.get $at))))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (memory.fill (local.get $at) (i32.const 0) (i32.const 88))
    (local.get $at))
  (func $notify (param $row i32)
    (local $at i32)
    (local.set $at (call $effect))
    (i32.store offset=8 (local.get $at) (local.get $row))
    (i32.store offset=44 (local.get $at) (i32.const {title}))
    (i32.store offset=48 (local.get $at) (global.get $title_len))
    (i32.store8 offset=76 (local.get $at) (global.get $named))
    (i32.store offset=80 (local.get $at) (i32.const {topic}))
    (i32.store offset=84 (local.get $at) (i32.const {topic_len})))
  (func $emit (param $row i32)
    (local $at i32)
    (local.set $at (call $effect))
    (i32.store8 (local.get $at) (i32.const 1))
    (i32.store offset=8 (local.get $at) (local.get $row))
    (i32.store offset=12 (local.get $at) (i32.const {topic}))
    (i32.store offset=16 (local.get $at) (i32.const {topic_len})))
  (func (export "firebell:rule/guest@0.1.0#describe") (param i32 i32) (result i32)
    (i32.const 16))
  (func (export "firebell:rule/guest@0.1.0#evaluate")
    (param $topic i32) (param $topic_len i32) (param $partition i32)
    (param $offsets i32) (param $rows i32) (param $timestamps i32) (param $timestamps_len i32)
    (param $cells i32) (param $cells_len i32) (param $ends i32) (param $ends_len i32)
    (param $nulls i32) (param $nulls_len i32) (result i32)
    (local $row i32) (local $offset i64)
    (global.set $count (i32.const 0))
    (loop $each
      (local.set $offset (i64.load (i32.add (local.get $offsets)
        (i32.mul (local.get $row) (i32.const 8)))))
      {each_row}
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $row) (local.get $rows))))
    (if (global.get $refused) (then
      (i32.store (i32.const 128) (i32.const 1))
      (i32.store (i32.const 132) (i32.const {refusal}))
      (i32.store (i32.const 136) (i32.const {refusal_len}))
      (return (i32.const 128))))
    (i32.store (i32.const 128) (i32.const 0))
    (i32.store (i32.const 132) (global.get $effects))
    (i32.store (i32.const 136) (global.get $count))
    (i32.const 128))
  (func (export "cabi_post_firebell:rule/guest@0.1.0#evaluate") (param i32)
    (global.set $heap (i32.const 65536)))
)"#
    )
}
