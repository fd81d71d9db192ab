package life

import (
	"testing"
	"time"
)

func TestNobodyComesAtNightAndMostInTheEvening(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 9, 5, hour, 30, 0, 0, time.UTC) }
	usual, withNights := Config{}, Config{Nights: true}
	for hour := range 24 {
		got, as := withNights.tempo(at(hour)), usual.tempo(at(hour))
		switch {
		case hour >= 1 && hour < 6:
			if got != 0 || as <= 0 {
				t.Errorf("at %d:30 the tempo is %v with nights and %v without, want 0 and more", hour, got, as)
			}
		case hour >= 19 && hour < 22:
			if got < 2*as {
				t.Errorf("at %d:30 the tempo is %v with nights and %v without, want twice as much", hour, got, as)
			}
		case got != as:
			t.Errorf("at %d:30 the tempo is %v with nights and %v without, want the same", hour, got, as)
		}
	}
}
