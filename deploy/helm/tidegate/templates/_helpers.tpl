{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* At most 40 characters, so that every suffix of ours still makes a DNS label. */ -}}
{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "tidegate.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "tidegate.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tidegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidegate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tidegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /*
An object's metadata. Of (dict "root" $ "component" NAME "suffix" SUFFIX "name" FULL-NAME "namespace" NS "cluster" BOOL "annotations" MAP
"labels" MAP), of which all but root may be left out.
*/ -}}
{{- define "tidegate.metadata" -}}
name: {{ if .name }}{{ .name }}{{ else }}{{ include "tidegate.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}{{ end }}
{{- if not .cluster }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "tidegate.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge dict (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tidegate.componentSelector" -}}
{{ include "tidegate.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tidegate.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- if $account.create }}
{{- $account.name | default (printf "%s-%s" (include "tidegate.fullname" .root) .component) }}
{{- else }}
{{- $account.name | default "default" }}
{{- end }}
{{- end }}

{{- define "tidegate.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* The namespaces whose Endpoints are followed, as a JSON list; empty where all are. */ -}}
{{- define "tidegate.watched" -}}
{{- if .Values.watch.allNamespaces -}}
[]
{{- else if .Values.watch.namespaces -}}
{{ .Values.watch.namespaces | uniq | toJson }}
{{- else -}}
{{ list .Release.Namespace | toJson }}
{{- end -}}
{{- end }}

{{- define "tidegate.watchArgs" -}}
- --from-cluster
{{- if .Values.watch.allNamespaces }}
- --all-namespaces
{{- else }}
{{- range include "tidegate.watched" . | fromJsonArray }}
- --namespace={{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tidegate.leaseName" -}}
{{- include "tidegate.fullname" . }}
{{- end }}

{{- define "tidegate.adminSecretName" -}}
{{- .Values.adminApi.existingSecret | default (printf "%s-admin" (include "tidegate.fullname" .)) }}
{{- end }}

{{- define "tidegate.bridgeTlsSecretName" -}}
{{- if eq .Values.bridge.tls.mode "secret" -}}
{{ required "bridge.tls.secretName: with bridge.tls.mode=secret, name the Secret that holds tls.crt and tls.key" .Values.bridge.tls.secretName }}
{{- else -}}
{{ include "tidegate.fullname" . }}-bridge-tls
{{- end -}}
{{- end }}

{{- define "tidegate.bridgeServesMetrics" -}}
{{- if and .Values.bridge.enabled (or .Values.bridge.customMetrics .Values.bridge.externalMetrics) }}true{{ end }}
{{- end }}

{{- /* Where the bridge needs a certificate: always for the metrics API, and for KEDA unless it is asked without TLS. */ -}}
{{- define "tidegate.bridgeNeedsTls" -}}
{{- if and .Values.bridge.enabled (or .Values.bridge.customMetrics .Values.bridge.externalMetrics (and .Values.bridge.keda.enabled (not .Values.bridge.keda.insecure))) }}true{{ end }}
{{- end }}

{{- define "tidegate.kedaMtls" -}}
{{- if and .Values.bridge.enabled .Values.bridge.keda.enabled .Values.bridge.keda.mtls.enabled }}true{{ end }}
{{- end }}

{{- /* The Secret with the authority that KEDA's certificate must be by. */ -}}
{{- define "tidegate.kedaClientCaSecretName" -}}
{{- if .Values.bridge.keda.mtls.clientCaSecret -}}
{{ .Values.bridge.keda.mtls.clientCaSecret }}
{{- else if eq .Values.bridge.tls.mode "generated" -}}
{{ include "tidegate.fullname" . }}-keda-client
{{- else -}}
{{ fail "bridge.keda.mtls.clientCaSecret: name the Secret that holds the authority of KEDA's client certificate; only bridge.tls.mode=generated makes one" }}
{{- end -}}
{{- end }}

{{- /* What a schema cannot say about values that depend on one another. */ -}}
{{- define "tidegate.checkValues" -}}
{{- $ := . }}
{{- if and .Values.watch.allNamespaces .Values.watch.namespaces }}
{{- fail "watch.allNamespaces and watch.namespaces exclude each other: leave one out" }}
{{- end }}
{{- if not (or .Values.controller.enabled .Values.gateway.enabled .Values.bridge.enabled) }}
{{- fail "nothing is enabled: set controller.enabled, gateway.enabled or bridge.enabled" }}
{{- end }}
{{- if and .Values.bridge.enabled (not .Values.controller.enabled) (not .Values.bridge.controllerUrl) }}
{{- fail "the bridge follows a controller: set controller.enabled, or bridge.controllerUrl to the admin address of one that runs elsewhere" }}
{{- end }}
{{- if and .Values.bridge.enabled (not (or .Values.bridge.customMetrics .Values.bridge.externalMetrics .Values.bridge.keda.enabled)) }}
{{- fail "the bridge has nothing to serve: set bridge.customMetrics, bridge.externalMetrics or bridge.keda.enabled" }}
{{- end }}
{{- if and .Values.bridge.keda.mtls.enabled .Values.bridge.keda.insecure }}
{{- fail "bridge.keda.mtls.enabled asks clients for certificates, which needs TLS: set bridge.keda.insecure=false" }}
{{- end }}
{{- if and .Values.controller.state.existingClaim (gt (int .Values.controller.replicas) 1) }}
{{- fail (printf "controller.state.existingClaim keeps the history of one controller, and controller.replicas is %d: set it to 1, or leave the claim out" (int .Values.controller.replicas)) }}
{{- end }}
{{- $watched := include "tidegate.watched" . | fromJsonArray }}
{{- range concat .Values.endpoints .Values.fleets }}
{{- $namespace := .namespace | default $.Release.Namespace }}
{{- if and (not $.Values.watch.allNamespaces) (not (has $namespace $watched)) }}
{{- fail (printf "%s would be made in namespace %s, which is not watched (%s): set its namespace, or add that one to watch.namespaces" .name $namespace (join ", " $watched)) }}
{{- end }}
{{- end }}
{{- end }}
