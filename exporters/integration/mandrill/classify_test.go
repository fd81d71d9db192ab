package mandrill

import (
	"fmt"
	"testing"
)

func TestErrorsOfMandrillAreClassifiedByName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Invalid_Key": "auth", "PaymentRequired": "payment_required", "ValidationError": "invalid_request", "RequestLimitExceeded": "throttled",
		"GeneralError": "server_error", "ServiceUnavailable": "server_error", "Unknown_Subaccount": "not_found", "Unknown_Webhook": "not_found",
		"Invalid_Reject": "invalid_request", "PoorReputation": "other", "": "other",
	} {
		for _, status := range []int{500, 401, 402, 404, 429, 200} {
			got, _ := classify(status, []byte(fmt.Sprintf(`{"status":"error","code":-1,"name":%q,"message":"m"}`, name)))
			if got != want {
				t.Errorf("%s with HTTP %d is %s, want %s", name, status, got, want)
			}
		}
	}
	for body, want := range map[string]string{"": "server_error", "<html>": "server_error", `[]`: "server_error", `{"detail":"x"}`: "server_error"} {
		if got, _ := classify(502, []byte(body)); got != want {
			t.Errorf("%q with HTTP 502 is %s, want %s", body, got, want)
		}
	}
	if got, _ := classify(200, []byte(`{"name":"Kids North","status":"active"}`)); got != "ok" {
		t.Errorf("a subaccount with a name is %s", got)
	}
}
