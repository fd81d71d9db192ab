package infra

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/consignwatch/consignwatch/simulator/faults"
)

const (
	fillerPrefix = "platform-sim:filler:"
	fillerBytes  = 8 << 10
	fillerKeys   = 64 // at once
	fillerEvery  = 250 * time.Millisecond
	fillerTTL    = 10 * time.Minute
	headroom     = 2 << 20 // of maxmemory, above used_memory
)

// adminOfCache returns a client with one connection and no time limits: a command that nobody waits for any more could be carried out
// after a later one, when Redis resumes. It does not connect.
func adminOfCache(address string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: address, PoolSize: 1, MaxRetries: -1, DialerRetries: 1, ReadTimeout: -1, WriteTimeout: -1, PoolTimeout: time.Minute,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// refusedByCache reports whether the error is Redis's answer, or the client is closed.
func refusedByCache(err error) bool {
	var refused redis.Error
	return errors.As(err, &refused) || errors.Is(err, redis.ErrClosed)
}

// cacheSettings are the settings that cache-evicting changes.
type cacheSettings struct{ memory, policy string }

// evict limits Redis's memory so that it evicts keys, and keeps filling it.
func (i *Infra) evict(on, alive context.Context, active func()) error {
	var was cacheSettings
	var before int64
	err := faults.RetryUntil(on, refusedByCache, func() (err error) {
		was, before, err = i.shrinkCache(alive, was)
		return err
	})
	for err == nil && on.Err() == nil {
		if i.fillCache(alive) != nil { // Redis is down: it comes back, or the fault ends
			faults.Sleep(on, faults.RetryEvery)
			continue
		}
		if evicted, look := i.cacheNumber(alive, "stats", "evicted_keys"); look == nil && evicted > before {
			active()
		}
		faults.Sleep(on, fillerEvery)
	}
	if was == (cacheSettings{}) { // nothing was changed
		return unlessEnded(on, err)
	}
	refused := faults.NeverRefused
	if err = unlessEnded(on, err); err != nil { // who may not break it may not repair it either, and there is little to repair
		refused = refusedByCache
	}
	return errors.Join(err, faults.RetryUntil(alive, refused, func() error { return i.restoreCache(alive, was) }))
}

// shrinkCache limits Redis's memory. It returns the original settings, and evicted_keys before.
func (i *Infra) shrinkCache(ctx context.Context, was cacheSettings) (cacheSettings, int64, error) {
	if was == (cacheSettings{}) {
		var err error
		if was.memory, err = i.cacheSetting(ctx, "maxmemory"); err != nil {
			return cacheSettings{}, 0, err
		}
		if was.policy, err = i.cacheSetting(ctx, "maxmemory-policy"); err != nil {
			return cacheSettings{}, 0, err
		}
	}
	evicted, err := i.cacheNumber(ctx, "stats", "evicted_keys")
	if err != nil {
		return was, 0, err
	}
	used, err := i.cacheNumber(ctx, "memory", "used_memory")
	if err != nil {
		return was, 0, err
	}
	return was, evicted, errors.Join(
		i.cache.ConfigSet(ctx, "maxmemory-policy", "allkeys-lru").Err(),
		i.cache.ConfigSet(ctx, "maxmemory", strconv.FormatInt(used+headroom, 10)).Err())
}

func (i *Infra) cacheSetting(ctx context.Context, name string) (string, error) {
	all, err := i.cache.ConfigGet(ctx, name).Result()
	if err != nil {
		return "", fmt.Errorf("cache: %s: %w", name, err)
	}
	return all[name], nil
}

// cacheNumber returns a number of INFO.
func (i *Infra) cacheNumber(ctx context.Context, section, name string) (int64, error) {
	info, err := i.cache.Info(ctx, section).Result()
	if err != nil {
		return 0, fmt.Errorf("cache: %s: %w", name, err)
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("cache: INFO %s: there is no %s", section, name)
}

// fillCache writes filler keys.
func (i *Infra) fillCache(ctx context.Context) error {
	value := strings.Repeat("x", fillerBytes)
	_, err := i.cache.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for range fillerKeys {
			pipe.Set(ctx, fillerPrefix+strconv.FormatUint(rand.Uint64(), 36), value, fillerTTL)
		}
		return nil
	})
	return err
}

// restoreCache restores the settings and deletes the filler keys.
func (i *Infra) restoreCache(ctx context.Context, was cacheSettings) error {
	if err := errors.Join(
		i.cache.ConfigSet(ctx, "maxmemory", was.memory).Err(),
		i.cache.ConfigSet(ctx, "maxmemory-policy", was.policy).Err()); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	var keys []string
	all := i.cache.Scan(ctx, 0, fillerPrefix+"*", 1000).Iterator()
	for all.Next(ctx) {
		keys = append(keys, all.Val())
	}
	if err := all.Err(); err != nil || len(keys) == 0 {
		return err
	}
	return i.cache.Unlink(ctx, keys...).Err()
}
