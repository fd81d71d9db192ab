package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// grafanaPart is optional: it is started only if a Grafana is installed.
const grafanaPart = "grafana"

// homeDashboard is Grafana's home dashboard.
const homeDashboard = "System/overview.json"

// grafanaParts is the part with Grafana, if there are dashboards and a Grafana is installed.
func grafanaParts(config Config) []part {
	installed, found := servers.FindGrafana()
	if config.Dashboards == nil || !found {
		return nil
	}
	return []part{{
		name: grafanaPart, what: "dashboards", path: "/dashboards",
		start: func(ctx context.Context, s *stack, folder string) (running, error) {
			return startGrafana(ctx, s, folder, installed)
		},
	}}
}

// startGrafana starts Grafana with the dashboards, and with this demo's Prometheus and Alertmanager as data sources.
func startGrafana(ctx context.Context, s *stack, folder string, installed servers.Grafana) (running, error) {
	prometheus, err := s.part(prometheusPart)
	if err != nil {
		return nil, err
	}
	alertmanager, err := s.part(alertmanagerPart)
	if err != nil {
		return nil, err
	}
	boards := filepath.Join(folder, "dashboards")
	for file, text := range s.config.Dashboards {
		if err := writeFile(filepath.Join(boards, filepath.FromSlash(file)), text); err != nil {
			return nil, err
		}
	}
	provisioning := filepath.Join(folder, "provisioning")
	for file, content := range map[string]object{
		"datasources/demo.yml": {"apiVersion": 1, "datasources": []object{
			{
				"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "access": "proxy", "url": "http://" + prometheus.Address(), "isDefault": true, "editable": false,
				"jsonData": object{
					"httpMethod": "POST", "prometheusType": "Prometheus", "manageAlerts": true, "alertmanagerUid": "alertmanager",
					"timeInterval": s.scrapeInterval().String(), // $__rate_interval depends on it
				},
			},
			{
				"name": "Alertmanager", "uid": "alertmanager", "type": "alertmanager", "access": "proxy", "url": "http://" + alertmanager.Address(), "editable": false,
				"jsonData": object{"implementation": "prometheus", "handleGrafanaManagedAlerts": false},
			},
		}},
		"dashboards/demo.yml": {"apiVersion": 1, "providers": []object{{
			"name": "consignwatch", "orgId": 1, "type": "file", "disableDeletion": true, "allowUiUpdates": false, "updateIntervalSeconds": int(time.Hour.Seconds()),
			"options": object{"path": boards, "foldersFromFilesStructure": true},
		}}},
	} {
		text, err := json.Marshal(content) // JSON is YAML
		if err == nil {
			err = writeFile(filepath.Join(provisioning, file), text)
		}
		if err != nil {
			return nil, err
		}
	}
	return installed.Start(ctx, folder, servers.GrafanaConfig{Provisioning: provisioning, Home: filepath.Join(boards, homeDashboard)})
}

// writeFile writes a file, and makes its folder.
func writeFile(file string, text []byte) error {
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
