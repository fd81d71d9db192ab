package webhook

import (
	"strconv"
	"time"
)

// Schedule says how a provider delivers.
type Schedule struct {
	Connect time.Duration // how long a connection may take
	Timeout time.Duration // how long an attempt may take, with its connection
	// Retries are the waits after each failed attempt. After the last one the message is given up.
	Retries []time.Duration
}

// ShopifySchedule retries eight times over four hours, with waits that double. Shopify publishes the number and the four
// hours, not the waits.
func ShopifySchedule() Schedule {
	const (
		retries = 8
		span    = 4 * time.Hour
	)
	s := Schedule{Connect: time.Second, Timeout: 5 * time.Second}
	wait := (span / (1<<retries - 1)).Round(time.Second)
	for range retries {
		s.Retries = append(s.Retries, wait)
		wait *= 2
	}
	return s
}

// SvixSchedule is the one that Svix publishes.
func SvixSchedule() Schedule {
	return Schedule{Timeout: 15 * time.Second, Retries: []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}}
}

// MandrillSchedule is an assumption: Mandrill says that failed batches are sent again, and not when.
func MandrillSchedule() Schedule {
	return Schedule{Timeout: 30 * time.Second, Retries: []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	}}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
