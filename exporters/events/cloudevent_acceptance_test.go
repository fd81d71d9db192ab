//go:build acceptance

package events

import "testing"

func TestDecoderAgreesWithEncodingJSONForLong(t *testing.T) {
	t.Parallel()
	decodeRandomEvents(t, 300_000)
}
