package integration

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// activeWindows are the spans of catalog.ActiveWindows.
var activeWindows = []struct {
	name string
	span time.Duration
}{
	{"1h", time.Hour},
	{"24h", 24 * time.Hour},
	{"7d", 7 * 24 * time.Hour},
	{"30d", 30 * 24 * time.Hour},
}

// clerkUsers is the target that counts users, without ever reading one.
type clerkUsers struct {
	api      *clerkAPI
	recorder *exporter.Recorder
	now      func() time.Time
}

func newClerkUsers(api *clerkAPI, c *catalog.Catalog) *clerkUsers {
	u := &clerkUsers{api: api, recorder: exporter.NewRecorder(c), now: time.Now}
	api.limited.initSeries(u.recorder, "count_users")
	return u
}

// Name is the name of the target.
func (u *clerkUsers) Name() string { return "users" }

// Collect fetches one count after the other.
func (u *clerkUsers) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := u.count(ctx, sink)
	u.recorder.Collect(sink.Status())
	return err
}

func (u *clerkUsers) count(ctx context.Context, sink *exporter.Sink) error {
	all, err := u.api.countUsers(ctx, u.recorder, time.Time{})
	if err != nil {
		return err
	}
	sink.Gauge("consign_clerk_users", all)
	for _, window := range activeWindows {
		active, err := u.api.countUsers(ctx, u.recorder, u.now().Add(-window.span))
		if err != nil {
			return err
		}
		sink.Gauge("consign_clerk_active_users", active, window.name)
	}
	return nil
}
