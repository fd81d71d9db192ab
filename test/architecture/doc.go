// Package architecture holds docs/architecture.md against the repository. It judges no code.
package architecture
