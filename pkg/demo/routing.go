package demo

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// bundle is the folder with the rules and the routing of the demo.
func (s *stack) bundle() string { return filepath.Join(s.folder, "bundle") }

// prepareBundle writes the rules, and the routing with the webhook receiver in
// place of all contacts, the platform's clients, and the time scale of the demo.
func (s *stack) prepareBundle(clients []string) error {
	rules, folder := filepath.Join(s.bundle(), "rules"), s.alertmanagerFolder()
	if err := os.CopyFS(rules, s.config.Rules); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.CopyFS(folder, s.config.Alertmanager); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	r, err := routing.LoadForDemo(os.DirFS(s.bundle()), routing.DemoOptions{Clients: clients, TimeScale: cmp.Or(s.config.TimeScale, 1), Evaluation: s.scrapeInterval()})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	files, err := r.Files()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.bundle(), filepath.FromSlash(name)), text, 0o600); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

func (s *stack) alertmanagerFolder() string { return filepath.Join(s.bundle(), "alertmanager") }

func startAlertmanager(ctx context.Context, s *stack, folder string) (running, error) {
	platform, err := fetchPlatformState(ctx, s)
	if err != nil {
		return nil, err
	}
	return startAlertmanagerFor(ctx, s, folder, platform.Clients)
}

func startAlertmanagerFor(ctx context.Context, s *stack, folder string, clients []string) (running, error) {
	receiver, err := s.part(receiverPart)
	if err != nil {
		return nil, err
	}
	if err := s.prepareBundle(clients); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(s.alertmanagerFolder(), "secrets"), 0o700); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	for secret, path := range map[string]string{routing.DemoWebhookURLFile: "/", routing.DemoHeartbeatURLFile: heartbeatPath} {
		if err := writeSecret(filepath.Join(s.alertmanagerFolder(), secret), "http://"+receiver.Address()+path); err != nil {
			return nil, err
		}
	}
	return servers.StartAlertmanager(ctx, folder, servers.AlertmanagerConfig{
		ConfigFile: filepath.Join(s.alertmanagerFolder(), "alertmanager.yml"),
	})
}

func startPrometheus(ctx context.Context, s *stack, folder string) (running, error) {
	if err := os.CopyFS(filepath.Join(folder, "rules"), os.DirFS(filepath.Join(s.bundle(), "rules"))); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return servers.StartPrometheus(ctx, folder, servers.PrometheusConfig{Text: s.prometheusConfig})
}

// startAckd starts ackd. Its settle time is 0, because Alertmanager has just
// started for the first time, and lacks no alerts of an earlier process.
func startAckd(ctx context.Context, s *stack, folder string) (running, error) {
	alertmanager, err := s.part(alertmanagerPart)
	if err != nil {
		return nil, err
	}
	platform, err := fetchPlatformState(ctx, s)
	if err != nil {
		return nil, err
	}
	return startConfigured(ctx, ackdPart, folder, object{
		"alertmanager": object{"url": "http://" + alertmanager.Address()},
		"policy_file":  filepath.Join(s.bundle(), routing.AckPolicyFile),
		"interval":     "2s", "timeout": "2s", "settle": "0s",
		"clients": platform.Clients,
	}, "consignwatch", "ackd")
}
