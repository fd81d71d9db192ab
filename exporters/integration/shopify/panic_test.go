package shopify

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// panicking is a target that panics with a shop in its hands.
type panicking struct{ *shop }

func (panicking) Name() string { return "x" }

func (p panicking) Collect(context.Context, *exporter.Sink) error { panic(fmt.Sprintf("%+v", p.shop)) }

func TestAPanicShowsNoSecret(t *testing.T) {
	t.Parallel()
	s := &shop{client: "north", tokens: &tokenSource{clientID: "app", clientSecret: secret.New("marked-secret")}}
	s.tokens.set(accessToken{value: secret.New("marked-token")})
	_, err := exporter.DryRun(t.Context(), catalog.Shipped(), catalog.SizesFor(1), panicking{s})
	if err == nil || !strings.Contains(err.Error(), "north") {
		t.Fatalf("no panic was caught: %v", err)
	}
	for _, text := range []string{err.Error(), fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s), fmt.Sprint(s.tokens.get().value)} {
		if strings.Contains(text, "marked") {
			t.Errorf("a secret shows: %s", text)
		}
	}
}
