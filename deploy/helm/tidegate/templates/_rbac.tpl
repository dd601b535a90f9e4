{{- /*
Rights where Endpoints are followed: a Role and its binding in each watched namespace, or one ClusterRole where all are watched.
Of (dict "root" $ "component" NAME "rules" TEXT).
*/ -}}
{{- define "tidegate.watchedRights" -}}
{{- $context := . }}
{{- $own := printf "%s-%s" (include "tidegate.fullname" .root) .component }}
{{- $elsewhere := printf "%s-%s" $own .root.Release.Namespace }}
{{- if .root.Values.watch.allNamespaces }}
{{- include "tidegate.clusterRights" (dict "root" .root "component" .component "name" $elsewhere "rules" .rules) }}
{{- else }}
{{- range include "tidegate.watched" .root | fromJsonArray }}
{{- /* Another release may watch the same namespace. */ -}}
{{- $name := ternary $own $elsewhere (eq . $context.root.Release.Namespace) }}
---
{{ include "tidegate.rights" (dict "root" $context.root "component" $context.component "name" $name "namespace" . "rules" $context.rules) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tidegate.rights" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "tidegate.metadata" . | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "tidegate.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  {{- include "tidegate.subjects" . | nindent 2 }}
{{- end }}

{{- define "tidegate.clusterRights" -}}
{{- $context := merge (dict "cluster" true) . }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "tidegate.metadata" $context | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "tidegate.metadata" $context | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name }}
subjects:
  {{- include "tidegate.subjects" . | nindent 2 }}
{{- end }}
