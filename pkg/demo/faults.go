package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const controlTimeout = 30 * time.Second // for one request to the platform's control interface

// fault is a fault of the simulated platform.
type fault struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// switchFaultsOn switches on the faults of the configuration through the
// platform's control interface.
func (s *stack) switchFaultsOn(ctx context.Context) error {
	platform, err := s.part(platformPart)
	if err != nil {
		return err
	}
	address := platform.Address()
	known, err := faults(ctx, address)
	if err != nil {
		return err
	}
	for _, name := range s.config.Faults {
		description, ok := known[name]
		if !ok {
			return fmt.Errorf("unknown fault %q; known faults: %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if _, err := control(ctx, http.MethodPost, "http://"+address+"/faults/"+url.PathEscape(name)+"/on"); err != nil {
			return fmt.Errorf("switch the fault %s on: %w", name, err)
		}
		s.screen.line("fault %s is on: %s", name, description)
	}
	return nil
}

// faults returns the descriptions of all faults by their names.
func faults(ctx context.Context, address string) (map[string]string, error) {
	body, err := control(ctx, http.MethodGet, "http://"+address+"/faults")
	if err != nil {
		return nil, fmt.Errorf("list the faults: %w", err)
	}
	var list []fault
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("list the faults: %w", err)
	}
	known := map[string]string{}
	for _, f := range list {
		known[f.Name] = f.Description
	}
	return known, nil
}

func control(ctx context.Context, method, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, response.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}
