// Package drill is the room of drills.
package drill
