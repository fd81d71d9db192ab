// Package identifiers holds the code to the field's words: a test reads the declarations of every package and refuses names that were ours alone. It runs
// nothing, and knows nothing of what users read; `consignwatch check` does that.
package identifiers
