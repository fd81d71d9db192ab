// Package architecture holds the documentation against the repository: its paths, its names of tests, and the map of docs/architecture.md. It judges no
// code.
package architecture
