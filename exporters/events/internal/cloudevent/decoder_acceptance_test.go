//go:build acceptance

package cloudevent

import "testing"

func TestDecoderAgreesWithEncodingJSONForLong(t *testing.T) {
	t.Parallel()
	decodeRandomEvents(t, 300_000)
}
