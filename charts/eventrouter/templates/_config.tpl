{{/* The effective configuration, as YAML: what the user wrote, and what the chart fills in.
     Here, too, is refused what a schema cannot see. */}}
{{- define "eventrouter.config" -}}
{{- $config := deepCopy (default dict .Values.config) }}
{{- if .Values.configTpl }}
{{- $config = tpl (toYaml $config) . | fromYaml }}
{{- if hasKey $config "Error" }}
{{- fail (printf "config: not YAML any more behind tpl (configTpl): %s" $config.Error) }}
{{- end }}
{{- end }}
{{- if not $config.sinks }}
{{- $_ := set $config "sinks" (dict "stdout" (dict "type" "stdout")) }}
{{- end }}
{{- $admin := default dict $config.admin }}
{{- $_ := set $config "admin" $admin }}
{{- if not (hasKey $admin "listen") }}
{{- $_ := set $admin "listen" "0.0.0.0:8080" }}
{{- end }}
{{- $state := default dict $config.state }}
{{- if and (not $state.path) (ne (default "auto" $state.store) "none") }}
{{- $_ := set $state "path" "/var/lib/eventrouter/state" }}
{{- $_ := set $config "state" $state }}
{{- end }}
{{- include "eventrouter.checkConfig" (list . $config) }}
{{- toYaml $config }}
{{- end }}

{{/* config.kubernetes.namespaces as JSON: {"namespaces": [...]}; empty: the whole cluster. */}}
{{- define "eventrouter.namespaces" -}}
{{- $namespaces := default list (default dict (include "eventrouter.config" . | fromYaml).kubernetes).namespaces }}
{{- if kindIs "string" $namespaces }}
{{- $namespaces = list $namespaces }}
{{- end }}
{{- dict "namespaces" $namespaces | toJson }}
{{- end }}

{{/* The rules of a role, as `eventrouter check --rbac` prints them; (list context isClusterRole). */}}
{{- define "eventrouter.rules" -}}
{{- $ := index . 0 }}
{{- $watch := default dict (include "eventrouter.config" $ | fromYaml).watch }}
{{- $groups := dict "events" "" "deployments" "apps" "pods" "" }}
{{- range $resource := list "events" "deployments" "pods" }}
{{- $part := default dict (get $watch $resource) }}
{{- if hasKey $part "enabled" | ternary $part.enabled (eq $resource "events") }}
- apiGroups: [{{ get $groups $resource | quote }}]
  resources: [{{ $resource }}]
  verbs: [list, watch]
{{- end }}
{{- end }}
{{- if and (index . 1) $.Values.rbac.clusterId }}
{{- include "eventrouter.clusterIdRule" $ }}
{{- end }}
{{- end }}

{{- define "eventrouter.clusterIdRule" }}
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}

{{/* A duration of the configuration in whole seconds, rounded up. */}}
{{- define "eventrouter.seconds" -}}
{{- $number := regexFind "^[0-9]+" (toString .) | int }}
{{- $unit := regexFind "[a-z]+$" (toString .) }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else }}{{ mul $number (get (dict "" 1 "s" 1 "m" 60 "h" 3600) $unit) }}
{{- end }}
{{- end }}

{{- define "eventrouter.grace" -}}
{{- $shutdown := default dict (include "eventrouter.config" . | fromYaml).shutdown }}
{{- include "eventrouter.seconds" (hasKey $shutdown "grace" | ternary $shutdown.grace "25s") }}
{{- end }}

{{- define "eventrouter.terminationGrace" -}}
{{- $grace := include "eventrouter.grace" . | int }}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- add $grace 15 }}
{{- else if le (int .Values.terminationGracePeriodSeconds) $grace }}
{{- fail (printf "terminationGracePeriodSeconds: %d is not more than config.shutdown.grace (%d s): the kubelet would kill the router while its queues drain" (int .Values.terminationGracePeriodSeconds) $grace) }}
{{- else }}
{{- int .Values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{/* A size of the configuration (8MiB), or a quantity of Kubernetes (128Mi, 1.5G), in bytes. */}}
{{- define "eventrouter.bytes" -}}
{{- $text := kindIs "string" . | ternary . (printf "%d" (int64 .)) }}
{{- $units := dict "" 1 "m" 0.001 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 "E" 1000000000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 }}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[A-Za-z]*$" $text | trimSuffix "B")) | int64 }}
{{- end }}
