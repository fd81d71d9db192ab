package api

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// keyPrefix begins every key of the API.
const keyPrefix = "api:"

// openCache prepares the client. It does not connect. A cache that does not answer at once is no help: every limit is short.
func openCache(address string, limit time.Duration) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: address, PoolSize: 20, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

func cacheKey(path string, values []any) string {
	var key strings.Builder
	key.WriteString(keyPrefix + path)
	for _, v := range values {
		fmt.Fprintf(&key, ":%v", v)
	}
	return key.String()
}

// lookup is what a look into the cache found.
type lookup int

const (
	none   lookup = iota // there is no cache
	hit                  // what was looked for
	miss                 // that it is not there
	broken               // nothing: the cache failed
)

// look looks into the cache.
func (r *request) look(key string) ([]byte, lookup) {
	if r.cache == nil {
		return nil, none
	}
	var value []byte
	err := r.cached("get", func() (err error) {
		value, err = r.cache.Get(r.ctx, key).Bytes()
		return err
	})
	switch {
	case err == nil:
		return value, hit
	case errors.Is(err, redis.Nil):
		return nil, miss
	default:
		return nil, broken
	}
}

// keep puts an answer into the cache. That it cannot is no trouble for who asked.
func (r *request) keep(key string, body []byte) {
	_ = r.cached("set", func() error { return r.cache.Set(r.ctx, key, body, r.config.TTL).Err() })
}

// forget takes answers out that are not true any more.
func (r *request) forget(keys ...string) {
	if r.cache != nil {
		_ = r.cached("delete", func() error { return r.cache.Del(r.ctx, keys...).Err() })
	}
}

func (r *request) pingCache() error {
	return r.cached("ping", func() error { return r.cache.Ping(r.ctx).Err() })
}

// cached runs an operation of the cache and tells of it. That a key is not there is an answer, and no error.
func (r *request) cached(operation string, do func() error) error {
	begun := time.Now()
	err := do()
	result := "ok"
	switch {
	case errors.Is(err, redis.Nil):
		result = "miss"
	case err != nil:
		result = "error"
	case operation == "get":
		result = "hit"
	}
	r.say(stream.CacheOperation{Operation: operation, Result: result, Duration: stream.Seconds(time.Since(begun))})
	if result == "error" {
		r.say(stream.ErrorRaised{Category: "system", Kind: "cache", Component: "api"})
		return fmt.Errorf("cache: %w", err)
	}
	return err
}

// fellBack tells that the database answered in place of the cache, or did not.
func (r *request) fellBack(ok bool) {
	outcome := "succeeded"
	if !ok {
		outcome = "failed"
	}
	r.say(stream.RecoveryAttempted{Mechanism: "fallback", Component: "cache", Outcome: outcome})
}
