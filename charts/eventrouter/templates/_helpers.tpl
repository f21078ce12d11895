{{/* Names and labels. */}}
{{- define "eventrouter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "eventrouter.fullname" -}}
{{- $name := include "eventrouter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The name of roles, which are outside the release's namespace: the same release may be in another one. */}}
{{- define "eventrouter.roleName" -}}
{{- printf "%s-%s" .Release.Namespace (include "eventrouter.fullname" .) }}
{{- end }}

{{- define "eventrouter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "eventrouter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "eventrouter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "eventrouter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "eventrouter.labels" -}}
{{- $own := dict
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
      "app.kubernetes.io/version" .Chart.AppVersion
      "app.kubernetes.io/part-of" "eventrouter"
      "app.kubernetes.io/managed-by" .Release.Service }}
{{- toYaml (merge (include "eventrouter.selectorLabels" . | fromYaml) $own (default dict .Values.commonLabels)) }}
{{- end }}

{{/* metadata of an object: (list context name namespace labels annotations); namespace "" for what has none. */}}
{{- define "eventrouter.metadata" -}}
{{- $ := index . 0 -}}
name: {{ index . 1 }}
{{- with index . 2 }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- toYaml (merge (include "eventrouter.labels" $ | fromYaml) (default dict (index . 3))) | nindent 2 }}
{{- with merge (dict) (default dict (index . 4)) (default dict $.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "eventrouter.image" -}}
{{- $registry := coalesce .Values.image.registry .Values.global.imageRegistry | default "" | trimSuffix "/" -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- define "eventrouter.port" -}}
{{- regexFind "[0-9]+$" (include "eventrouter.config" . | fromYaml).admin.listen -}}
{{- end }}
