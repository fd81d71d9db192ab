package clerk

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

// usersTarget is the target that counts users, without ever reading one.
type usersTarget struct {
	api      *apiClient
	recorder *exporter.Recorder
	now      func() time.Time
}

func newUsersTarget(api *apiClient, c *catalog.Catalog) *usersTarget {
	u := &usersTarget{api: api, recorder: exporter.NewRecorder(c), now: time.Now}
	api.limited.InitSeries(u.recorder, "count_users")
	return u
}

// Name is the name of the target.
func (u *usersTarget) Name() string { return "users" }

// Collect fetches one count after the other.
func (u *usersTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := u.count(ctx, sink)
	u.recorder.Collect(sink.Status())
	return err
}

func (u *usersTarget) count(ctx context.Context, sink *exporter.Sink) error {
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
