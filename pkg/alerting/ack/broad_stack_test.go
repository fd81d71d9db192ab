package ack_test

import (
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

func TestASilenceThatIsTooBroadIsExportedUntilItEnds(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	d := s.daemon()
	const unrestricted, long, manyClients = `consign_silences_too_broad{reason="unrestricted"}`, `consign_silences_too_broad{reason="long"}`, `consign_silences_too_broad{reason="many_clients"}`
	id, err := s.client.SetSilence(t.Context(), amclient.Silence{
		Matchers: []amclient.Matcher{{Name: "priority", Value: "P0", IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(8 * 24 * time.Hour), CreatedBy: "ann", Comment: "quiet, please",
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Await(t, "reported", func(series map[string]float64) bool {
		return series[unrestricted] == 1 && series[long] == 1 && series[manyClients] == 0
	})
	if err := s.client.ExpireSilence(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	d.Await(t, "no longer", func(series map[string]float64) bool {
		n, known := series[unrestricted]
		return known && n == 0 && series[long] == 0
	})
}
