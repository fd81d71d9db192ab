package probe

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheTimeOfAChainIsThatOfItsFirstCertificateToExpire(t *testing.T) {
	t.Parallel()
	at := func(hours int) *x509.Certificate {
		return &x509.Certificate{NotAfter: time.Date(2026, 1, 1, hours, 0, 0, 0, time.UTC)}
	}
	for name, c := range map[string]struct {
		verified [][]*x509.Certificate
		served   []*x509.Certificate
		want     *x509.Certificate
	}{
		"one chain":                   {[][]*x509.Certificate{{at(5), at(3), at(9)}}, []*x509.Certificate{at(5)}, at(3)},
		"the best of two":             {[][]*x509.Certificate{{at(5), at(1)}, {at(5), at(8)}}, []*x509.Certificate{at(5), at(1)}, at(5)},
		"none is trusted":             {nil, []*x509.Certificate{at(5), at(2)}, at(2)},
		"no certificate at all":       {nil, nil, nil},
		"an empty chain does no harm": {[][]*x509.Certificate{{}}, []*x509.Certificate{at(4)}, at(4)},
	} {
		got, ok := expiryOf(c.verified, c.served)
		if ok != (c.want != nil) || ok && !cmp.Equal(got, c.want.NotAfter) {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
}
