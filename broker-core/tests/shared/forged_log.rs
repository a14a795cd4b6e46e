//! What somebody with the database does to a log of three hundred leaves, and what is at fault.

/// SQL, the table, and the row's name.
pub(crate) const FORGERIES: &[(&str, &str, &str)] = &[
    ("UPDATE log_leaf SET hash = ZEROS WHERE leaf = 20", LEAF, "20"),
    // Of a receipt that was let go.
    ("UPDATE log_leaf SET hash = ZEROS WHERE leaf = 3", LEAF, "3"),
    // A gap, and a log that was cut off.
    ("DELETE FROM log_leaf WHERE leaf = 20", LEAF, "21"),
    ("DELETE FROM log_leaf WHERE leaf >= 250", NODE, "1/0"),
    // An entry that is no receipt's, and one that is not there.
    ("UPDATE log_leaf SET entry = 2 WHERE leaf = 299", LEAF, "299"),
    ("UPDATE log_leaf SET entry = 99999 WHERE leaf = 299", LEAF, "299"),
    // Out of order, and past the end.
    (
        "UPDATE log_leaf SET entry = 9999 WHERE leaf = 20; \
         UPDATE log_leaf SET entry = 43 WHERE leaf = 21; \
         UPDATE log_leaf SET entry = 45 WHERE leaf = 20",
        LEAF,
        "21",
    ),
    ("UPDATE log_leaf SET leaf = 300 WHERE leaf = 299", LEAF, "300"),
    ("UPDATE log_node SET hash = ZEROS", NODE, "1/0"),
    ("DELETE FROM log_node", NODE, "1/0"),
    ("UPDATE log_node SET n = 1", NODE, "1/0"),
    ("INSERT INTO log_node VALUES (1, 1, ZEROS)", NODE, "1/1"),
    ("INSERT INTO log_node VALUES (7, 0, ZEROS)", NODE, "7/0"),
    ("UPDATE log SET id = ZEROS", "log", "id"),
    ("UPDATE log SET since = 5", "log", "id"),
    ("DELETE FROM log", "log", "id"),
];

const LEAF: &str = "log_leaf";
const NODE: &str = "log_node";
