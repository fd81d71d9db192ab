package api

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// keyPrefix is the prefix of all keys of the API.
const keyPrefix = "api:"

// openCache makes the client. It does not connect. A slow cache is useless, so every time limit is short.
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

// lookup is the result of a cache lookup.
type lookup int

const (
	none   lookup = iota // there is no cache
	hit                  // the value was found
	miss                 // the key is missing
	broken               // the cache failed
)

// cacheGet looks a key up.
func (r *request) cacheGet(key string) ([]byte, lookup) {
	if r.cache == nil {
		return nil, none
	}
	var value []byte
	err := r.cacheOperation("get", func() (err error) {
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

// cacheSet caches a response. Its error does not matter to the request.
func (r *request) cacheSet(key string, body []byte) {
	_ = r.cacheOperation("set", func() error { return r.cache.Set(r.ctx, key, body, r.config.TTL).Err() })
}

// cacheDelete deletes outdated responses.
func (r *request) cacheDelete(keys ...string) {
	if r.cache != nil {
		_ = r.cacheOperation("delete", func() error { return r.cache.Del(r.ctx, keys...).Err() })
	}
}

func (r *request) pingCache() error {
	return r.cacheOperation("ping", func() error { return r.cache.Ping(r.ctx).Err() })
}

// cacheOperation runs an operation of the cache and records its event. A missing key is a result, not an error.
func (r *request) cacheOperation(operation string, do func() error) error {
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
	r.record(stream.CacheOperation{Operation: operation, Result: result, Duration: stream.Seconds(time.Since(begun))})
	if result == "error" {
		r.record(stream.ErrorRaised{Category: "system", Kind: "cache", Component: "api"})
		return fmt.Errorf("cache: %w", err)
	}
	return err
}

// cacheFallback records that the database answered instead of the cache, or failed to.
func (r *request) cacheFallback(ok bool) {
	outcome := "succeeded"
	if !ok {
		outcome = "failed"
	}
	r.record(stream.RecoveryAttempted{Mechanism: "fallback", Component: "cache", Outcome: outcome})
}
