{{/* The pod template of Deployment and StatefulSet. */}}
{{- define "eventrouter.pod" -}}
metadata:
  labels:
    {{- toYaml (merge (include "eventrouter.labels" . | fromYaml) (default dict .Values.podLabels)) | nindent 4 }}
  annotations:
    {{- $checksum := dict "checksum/config" (include "eventrouter.config" . | sha256sum) }}
    {{- toYaml (merge $checksum (default dict .Values.podAnnotations) (default dict .Values.commonAnnotations)) | nindent 4 }}
spec:
  serviceAccountName: {{ include "eventrouter.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "eventrouter.terminationGrace" . }}
  {{- include "eventrouter.placement" . | nindent 2 }}
  {{- range $key := list "dnsPolicy" "dnsConfig" "hostAliases" "initContainers" }}
  {{- with get $.Values $key }}
  {{ $key }}: {{- kindIs "string" . | ternary (printf " %s" .) (toYaml . | nindent 4) }}
  {{- end }}
  {{- end }}
  containers:
    - name: eventrouter
      {{- include "eventrouter.container" . | nindent 6 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "eventrouter.volumes" . | nindent 4 }}
{{- end }}

{{/* What a pod needs to be made, and where: of the router, and of the hook that checks its configuration. */}}
{{- define "eventrouter.placement" -}}
{{- with .Values.podSecurityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (default list .Values.global.imagePullSecrets) (default list .Values.imagePullSecrets) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "priorityClassName" "runtimeClassName" "nodeSelector" "tolerations" "affinity" }}
{{- with get $.Values $key }}
{{ $key }}: {{- kindIs "string" . | ternary (printf " %s" .) (toYaml . | nindent 2) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "eventrouter.container" -}}
image: {{ include "eventrouter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, -c, /etc/eventrouter/config/eventrouter.yaml]
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: metrics
    containerPort: {{ include "eventrouter.port" . }}
    protocol: TCP
startupProbe:
  {{- include "eventrouter.probe" (list "/livez" .Values.startupProbe) | nindent 2 }}
livenessProbe:
  {{- include "eventrouter.probe" (list "/livez" .Values.livenessProbe) | nindent 2 }}
readinessProbe:
  {{- include "eventrouter.probe" (list "/readyz" .Values.readinessProbe) | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/eventrouter/config
    readOnly: true
  - name: state
    mountPath: /var/lib/eventrouter
  - name: kube-api-access
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  {{- if .Values.secrets }}
  - name: secrets
    mountPath: /etc/eventrouter/secrets
    readOnly: true
  {{- end }}
  {{- if .Values.serviceAccountTokens }}
  - name: tokens
    mountPath: /var/run/secrets/eventrouter/tokens
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "eventrouter.probe" -}}
httpGet:
  path: {{ index . 0 }}
  port: metrics
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The service account's token is mounted here and not by admission: so it is there also where
     automounting is off, and always expires. */}}
{{- define "eventrouter.volumes" -}}
- name: config
  configMap:
    name: {{ include "eventrouter.fullname" . }}
- name: kube-api-access
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- if not .Values.persistence.enabled }}
- name: state
  emptyDir:
    sizeLimit: {{ .Values.persistence.emptyDirSizeLimit }}
{{- else if .Values.persistence.existingClaim }}
- name: state
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
{{- end }}
{{- with .Values.secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $secret := . }}
      - secret:
          name: {{ $secret.secretName }}
          items:
            {{- range $secret.keys }}
            - key: {{ . | quote }}
              path: {{ printf "%s/%s" $name . | quote }}
            {{- end }}
      {{- end }}
{{- end }}
{{- with .Values.serviceAccountTokens }}
- name: tokens
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $token := . }}
      - serviceAccountToken:
          path: {{ $name }}
          audience: {{ $token.audience | quote }}
          expirationSeconds: {{ default 3600 $token.expirationSeconds | int }}
      {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
