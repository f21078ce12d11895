{{/* What one value means for another: (list context config). Every message names the key. */}}
{{- define "eventrouter.checkConfig" -}}
{{- $ := index . 0 }}
{{- $config := index . 1 }}
{{- include "eventrouter.checkWatch" $config }}
{{- include "eventrouter.checkNamespaces" (default dict $config.kubernetes).namespaces }}
{{- include "eventrouter.checkRoutes" $config }}
{{- include "eventrouter.checkListen" $config.admin.listen }}
{{- include "eventrouter.checkPaths" . }}
{{- include "eventrouter.checkSecrets" . }}
{{- include "eventrouter.checkReferences" (list $ "config" $config) }}
{{- range $name, $sink := $config.sinks }}
{{- include "eventrouter.checkSink" (list (printf "config.sinks.%s" $name) $sink) }}
{{- end }}
{{- range $name, $_ := $config.sinks }}
{{- if not (regexMatch "^[A-Za-z0-9._-]{1,63}$" $name) }}
{{- fail (printf "config.sinks: %q: a sink's name has 1 to 63 letters, digits, \"-\", \"_\" or \".\"" $name) }}
{{- end }}
{{- end }}
{{- if not $.Values.enabled }}
{{- fail "enabled: false counts only for a chart that has this one as a dependency, with a condition; replicas: 0 stops the router" }}
{{- end }}
{{- if gt (int $.Values.replicas) 1 }}
{{- fail (printf "replicas: %d routers would deliver every record %d times; 1, or 0 to stop it" (int $.Values.replicas) (int $.Values.replicas)) }}
{{- end }}
{{- if and $.Values.persistence.enabled (eq (default "auto" (default dict $config.state).store) "none") }}
{{- fail "persistence.enabled: config.state.store is none, so there is nothing to persist" }}
{{- end }}
{{- if and $.Values.persistence.existingClaim (not $.Values.persistence.enabled) }}
{{- fail "persistence.existingClaim: counts only with persistence.enabled" }}
{{- end }}
{{- end }}

{{- define "eventrouter.checkWatch" -}}
{{- $watch := default dict .watch }}
{{- $events := default dict $watch.events }}
{{- if not (or (not (hasKey $events "enabled")) $events.enabled (default dict $watch.deployments).enabled (default dict $watch.pods).enabled) }}
{{- fail "config.watch: nothing is watched: enable events, deployments or pods" }}
{{- end }}
{{- end }}

{{- define "eventrouter.checkNamespaces" -}}
{{- range kindIs "slice" . | ternary . (list . | compact) }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" .) }}
{{- fail (printf "config.kubernetes.namespaces: %q is not the name of a namespace (a-z, 0-9 and \"-\", at most 63); several are a list" .) }}
{{- end }}
{{- end }}
{{- if kindIs "slice" . }}
{{- if gt (len .) 32 }}
{{- fail (printf "config.kubernetes.namespaces: %d namespaces, at most 32; leave it out to watch the whole cluster" (len .)) }}
{{- end }}
{{- if ne (len .) (len (uniq .)) }}
{{- fail "config.kubernetes.namespaces: a namespace is named twice" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "eventrouter.checkRoutes" -}}
{{- $names := keys .sinks | sortAlpha }}
{{- range $i, $route := .routes }}
{{- $at := printf "config.routes[%d]" $i }}
{{- $sinks := default list $route.sinks }}
{{- if kindIs "string" $sinks }}
{{- $sinks = list $sinks }}
{{- end }}
{{- range $sinks }}
{{- if not (has . $names) }}
{{- fail (printf "%s.sinks: there is no sink %s; config.sinks has %s" $at . (join ", " $names)) }}
{{- end }}
{{- end }}
{{- if and $sinks $route.drop }}
{{- fail (printf "%s: both sinks and drop; a route has one of them" $at) }}
{{- end }}
{{- if not (or $sinks $route.drop) }}
{{- fail (printf "%s: neither sinks nor drop; a route has one of them" $at) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "eventrouter.checkListen" -}}
{{- if or (not (regexMatch ":[1-9][0-9]{0,4}$" .)) (gt (regexFind "[0-9]*$" . | int) 65535) }}
{{- fail (printf "config.admin.listen: %q: the kubelet's probes need the admin server, at ADDRESS:PORT" .) }}
{{- end }}
{{- if regexMatch "^(127\\.|localhost|\\[::1\\])" . }}
{{- fail (printf "config.admin.listen: %q: the kubelet's probes do not reach a loopback address" .) }}
{{- end }}
{{- end }}

{{/* The root file system is read-only: what is written is on a volume. */}}
{{- define "eventrouter.checkPaths" -}}
{{- $ := index . 0 }}
{{- $config := index . 1 }}
{{- $volumes := list "/var/lib/eventrouter" }}
{{- range $.Values.extraVolumeMounts }}
{{- $volumes = append $volumes (trimSuffix "/" .mountPath) }}
{{- end }}
{{- $written := dict }}
{{- with (default dict $config.state).path }}
{{- $_ := set $written "config.state.path" . }}
{{- end }}
{{- range $name, $sink := $config.sinks }}
{{- if eq $sink.type "file" }}
{{- $_ := set $written (printf "config.sinks.%s.path" $name) $sink.path }}
{{- end }}
{{- end }}
{{- range $key, $path := $written }}
{{- $found := false }}
{{- range $volumes }}
{{- $found = or $found (hasPrefix (printf "%s/" .) $path) (and (eq . $path) (eq $key "config.state.path")) }}
{{- end }}
{{- if not $found }}
{{- fail (printf "%s: %s is on no volume; it may be below /var/lib/eventrouter/ or below a mount of extraVolumeMounts" $key $path) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Files below the directory of secrets come from secrets, or from a mount of the user's own. */}}
{{- define "eventrouter.checkSecrets" -}}
{{- $ := index . 0 }}
{{- range $path := regexFindAll "/etc/eventrouter/secrets/[A-Za-z0-9._/-]*" (toYaml (index . 1)) -1 }}
{{- $found := false }}
{{- range $.Values.extraVolumeMounts }}
{{- $found = or $found (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $path) (eq .mountPath $path) }}
{{- end }}
{{- range $name, $secret := $.Values.secrets }}
{{- range $secret.keys }}
{{- $found = or $found (eq $path (printf "/etc/eventrouter/secrets/%s/%s" $name .)) }}
{{- end }}
{{- end }}
{{- if not $found }}
{{- fail (printf "secrets: config names the file %s, which is not mounted; secrets: {NAME: {secretName: SECRET, keys: [KEY]}} makes /etc/eventrouter/secrets/NAME/KEY" $path) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the sink would refuse at its start, when the old pod is gone: (list path sink). */}}
{{- define "eventrouter.checkSink" -}}
{{- $at := index . 0 }}
{{- $sink := index . 1 }}
{{- if eq $sink.type "elasticsearch" }}
{{- $targets := list }}
{{- range list "index" "alias" "dataStream" }}
{{- if get $sink . }}
{{- $targets = append $targets . }}
{{- end }}
{{- end }}
{{- if ne (len $targets) 1 }}
{{- fail (printf "%s: one of index, alias and dataStream says where records go; there is %s" $at (default "none" (join " and " $targets))) }}
{{- end }}
{{- end }}
{{- with $sink.auth }}
{{- if gt (len .) 1 }}
{{- fail (printf "%s.auth: has %s; a sink logs in in one way" $at (keys . | sortAlpha | join " and ")) }}
{{- end }}
{{- with .basic }}
{{- if not (and .username .password) }}
{{- fail (printf "%s.auth.basic: needs both username and password" $at) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $sink.tls }}
{{- if ne (empty .certFile) (empty .keyFile) }}
{{- fail (printf "%s.tls: certFile and keyFile belong together; there is only one of them" $at) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Files are on a mount, and variables are set: without them the router does not start. (list context path value);
     maps of names to texts may have a name "env" or "file" of their own. */}}
{{- define "eventrouter.checkReferences" -}}
{{- $ := index . 0 }}
{{- $at := index . 1 }}
{{- range $key, $value := index . 2 }}
{{- $path := kindIs "string" $key | ternary (printf "%s.%v" $at $key) (printf "%s[%v]" $at $key) }}
{{- $isOpen := and (kindIs "string" $key) (has $key (list "headers" "labels" "options")) }}
{{- if kindIs "string" $value }}
{{- include "eventrouter.checkUrl" (list $path $value) }}
{{- end }}
{{- if kindIs "slice" $value }}
{{- include "eventrouter.checkReferences" (list $ $path $value) }}
{{- else if and (kindIs "map" $value) $isOpen }}
{{- range $name, $text := $value }}
{{- if kindIs "map" $text }}
{{- include "eventrouter.checkReference" (list $ (printf "%s.%s" $path $name) $text) }}
{{- end }}
{{- end }}
{{- else if and (kindIs "map" $value) (eq (len $value) 1) (or (kindIs "string" $value.env) (kindIs "string" $value.file)) }}
{{- include "eventrouter.checkReference" (list $ $path $value) }}
{{- else if kindIs "map" $value }}
{{- include "eventrouter.checkReferences" (list $ $path $value) }}
{{- else if and (kindIs "string" $key) (kindIs "string" $value) (or (hasSuffix "File" $key) (eq $path "config.kubernetes.kubeconfig")) }}
{{- include "eventrouter.checkReference" (list $ $path (dict "file" $value)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "eventrouter.checkUrl" -}}
{{- if regexMatch "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]*:[^/?#]*@" (index . 1) }}
{{- fail (printf "%s: has a password, which everybody could read in the ConfigMap: put the whole URL into a file, {file: PATH}; that of a sink's url may go into auth.basic.password" (index . 0)) }}
{{- end }}
{{- end }}

{{- define "eventrouter.checkReference" -}}
{{- $ := index . 0 }}
{{- $at := index . 1 }}
{{- $reference := index . 2 }}
{{- with $reference.env }}
{{- $found := not (empty $.Values.extraEnvFrom) }}
{{- range $.Values.extraEnv }}
{{- $found = or $found (eq .name $reference.env) }}
{{- end }}
{{- if not $found }}
{{- fail (printf "%s: the pod has no environment variable %s: set it by extraEnv or extraEnvFrom" $at .) }}
{{- end }}
{{- end }}
{{- with $reference.file }}
{{- $found := false }}
{{- range list "/etc/eventrouter/secrets/" "/var/run/secrets/kubernetes.io/serviceaccount/" "/etc/ssl/" "/var/lib/eventrouter/" }}
{{- $found = or $found (hasPrefix . $reference.file) }}
{{- end }}
{{- range $name, $_ := $.Values.serviceAccountTokens }}
{{- $found = or $found (eq $reference.file (printf "/var/run/secrets/eventrouter/tokens/%s" $name)) }}
{{- end }}
{{- range $.Values.extraVolumeMounts }}
{{- $found = or $found (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $reference.file) (eq .mountPath $reference.file) }}
{{- end }}
{{- if not $found }}
{{- fail (printf "%s: the pod has no file %s: mount it by secrets, serviceAccountTokens or extraVolumeMounts" $at .) }}
{{- end }}
{{- end }}
{{- end }}
