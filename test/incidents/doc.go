// Package incidents holds what a Prometheus scraped while something went wrong, and plays it through the shipped rules and the shipped routing, unshortened
// and in seconds: which alerts fire and resolve, when, and who is notified of what, when. Golden files say so. It runs no server; the recordings are made by
// the program in record.
package incidents
