"""Which vim25 operations are actions, and of which class.

Actions change something or open access. Reads, the property collector, views, polls and refreshes
are none. Names are those of the vSphere Web Services API 9.1 and of its sisters behind the same
session (pbm, vslm, cns, vsan, sms, eam, nfc). What is not listed goes by its ending or its verb,
so that a later release is not missed: `*_Task` changes something unless its name says it reads; a
synchronous operation does by its verb.
"""

from decoders.message import OperationClass

_LISTED: dict[OperationClass, str] = {
    OperationClass.POWER: """
        PowerOnVM_Task PowerOffVM_Task SuspendVM_Task ResetVM_Task PowerOnMultiVM_Task
        PowerOnVApp_Task PowerOffVApp_Task SuspendVApp_Task
        ShutdownGuest RebootGuest StandbyGuest TerminateVM TerminateFaultTolerantVM_Task SendNMI
        RebootHost_Task ShutdownHost_Task PowerDownHostToStandBy_Task PowerUpHostFromStandBy_Task
        AutoStartPowerOn AutoStartPowerOff PerformClusterPowerAction
    """,
    OperationClass.CREATE: """
        CreateVM_Task CreateChildVM_Task CloneVM_Task InstantClone_Task CloneVApp_Task
        RegisterVM_Task RegisterChildVM_Task CreateSecondaryVM_Task CreateSecondaryVMEx_Task
        CreateVApp ImportVApp CreateResourcePool CreateFolder CreateStoragePod
        CreateDatacenter CreateCluster CreateClusterEx
        AddHost_Task AddStandaloneHost_Task BatchAddHostsToCluster_Task BatchAddStandaloneHosts_Task
        CreateSnapshot_Task CreateSnapshotEx_Task
        CreateDVS_Task CreateDVPortgroup_Task AddDVPortgroup_Task DVSManagerImportEntity_Task
        CreateVirtualDisk_Task CopyVirtualDisk_Task CopyDatastoreFile_Task ImportUnmanagedSnapshot
        CreateVmfsDatastore CreateNasDatastore CreateLocalDatastore CreateVvolDatastore
        MakeDirectory CreateDirectory CreateDiagnosticPartition FormatVmfs FormatVffs
        CreateNvdimmNamespace_Task CreateNvdimmPMemNamespace_Task CreateNvmeOverRdmaAdapter
        CreateSoftwareAdapter AddDisks_Task InitializeDisks_Task InitializeDiskMappings
        CreateUser CreateGroup CreateAlarm CreateScheduledTask CreateObjectScheduledTask CreateTask
        CreateCustomizationSpec DuplicateCustomizationSpec CreateProfile CreateDefaultProfile
        CreateIpPool CreatePerfInterval DirectPathProfileManagerCreate
        AllocateIpv4Address AllocateIpv6Address LogUserEvent PostEvent
        GenerateKey GenerateCertificateSigningRequest GenerateCertificateSigningRequestByDn
        GenerateSelfSignedClientCert GenerateClientCsr ProvisionServerPrivateKey
        InstallIoFilter_Task RegisterProvider_Task CreateIOTripAnalyzerRecurrences
        deployVcha_Task createPassiveNode_Task createWitnessNode_Task
        CreateDisk_Task HostCreateDisk_Task VslmCreateDisk_Task RegisterDisk HostRegisterDisk
        VslmRegisterDisk CloneVStorageObject_Task HostCloneVStorageObject_Task
        VslmCloneVStorageObject_Task CreateDiskFromSnapshot_Task VslmCreateDiskFromSnapshot_Task
        HostVStorageObjectCreateDiskFromSnapshot_Task VStorageObjectCreateSnapshot_Task
        VStorageObjectCreateSnapshotEx_Task HostVStorageObjectCreateSnapshot_Task
        VslmCreateSnapshot_Task
        CnsCreateVolume CnsCreateSnapshots PbmCreate CreateAgency RegisterAgentVm
        VsanVitAddIscsiTarget VsanVitAddIscsiLUN VsanVitAddIscsiInitiatorGroup
        VsanVitAddIscsiInitiatorsToTarget VsanVitAddIscsiInitiatorsToGroup
        VsanVitAddIscsiTargetToGroup VsanPerfCreateStatsObject VsanPerfCreateStatsObjectTask
        VsanCreateDatastoreSource VsanAddStoragePoolDisk VSANVcAddWitnessHost
        VsanVcAddWitnessHostForClusters VsanClusterCreateFsDomain VsanCreateFileShare
        VsanClusterCreateShareSnapshot
    """,
    OperationClass.DELETE: """
        Destroy_Task UnregisterVM unregisterVApp_Task UnregisterAndDestroy_Task DestroyChildren
        RemoveSnapshot_Task RemoveAllSnapshots_Task ReleaseManagedSnapshot
        DeleteDatastoreFile_Task DeleteVirtualDisk_Task
        DestroyDatastore DestroyNetwork DestroyIpPool DestroyProfile DestroyVffs
        RemoveDatastoreEx_Task RemoveDisk_Task RemoveDiskMapping_Task VsanDeleteObjects_Task
        DeleteNvdimmNamespace_Task DeleteNvdimmBlockNamespaces_Task
        ClearSystemEventLog ClearNFSUser ClearComplianceStatus
        CertMgrRevokeCertificates_Task LeaveCurrentDomain_Task DirectPathProfileManagerDelete
        UninstallIoFilter_Task UninstallHostPatch_Task UninstallService UnregisterProvider_Task
        VasaProviderRevokeCertificate_Task destroyVcha_Task ReleaseIpAllocation
        DeleteVStorageObject_Task DeleteVStorageObjectEx_Task HostDeleteVStorageObject_Task
        HostDeleteVStorageObjectEx_Task VslmDeleteVStorageObject_Task DeleteSnapshot_Task
        VStorageObjectDeleteSnapshotEx_Task VStorageObjectDeleteSnapshotEx2_Task
        HostVStorageObjectDeleteSnapshot_Task VslmDeleteSnapshot_Task UnregisterDisk_Task
        HostRemoveVFlashResource
        CnsDeleteVolume CnsDeleteSnapshots CnsUnregisterVolume PbmDelete
        DestroyAgency Uninstall UnregisterAgentVm
        VsanVitRemoveIscsiTarget VsanVitRemoveIscsiLUN VsanVitRemoveIscsiInitiatorGroup
        VsanVitRemoveIscsiInitiatorsFromTarget VsanVitRemoveIscsiInitiatorsFromGroup
        VsanVitRemoveIscsiTargetFromGroup VsanPerfDeleteStatsObject
        VsanPerfDeleteStatsObjectTask VsanPerfDeleteTimeRange VsanDestroyDatastoreSource
        VsanPurgeHclFiles VsanDeleteStoragePoolDisk VSANVcRemoveWitnessHost VsanHostWipeDisk
        VsanClusterRemoveFsDomain VsanClusterRemoveShare VsanClusterRemoveShareSnapshot
    """,
    OperationClass.CONSOLE: """
        AcquireTicket AcquireMksTicket AcquireCimServicesTicket
        CreateScreenshot_Task PutUsbScanCodes DropConnections
    """,
    OperationClass.DISK: """
        ExportVm ExportVApp ExportSnapshot HttpNfcLeaseComplete HttpNfcLeaseAbort
        HttpNfcLeasePullFromUrls_Task
        NfcGetVmFiles NfcRandomAccessOpenReadonly NfcRandomAccessOpenDisk NfcFileManagement
        NfcSystemManagement NfcGetServerNfcLibVersion
    """,
    # What takes configuration, which can hold secrets, away with it.
    OperationClass.READ: """
        GenerateLogBundles_Task BackupFirmwareConfiguration ExportProfile ExportAnswerFile_Task
        DVSManagerExportEntity_Task
    """,
    # Only what neither ending nor verb would tell.
    OperationClass.UPDATE: """
        MoveIntoResourcePool AssignUserToGroup UnassignUserFromGroup MergePermissions
        ResetEntityPermissions AnswerVM MountToolsInstaller UnmountToolsInstaller DefragmentAllDisks
        CancelTask RunScheduledTask AcknowledgeAlarm ClearTriggeredAlarms
        EnterLockdownMode ExitLockdownMode StartService StopService RestartService
        SelectVnic DeselectVnic SelectVnicForNicType DeselectVnicForNicType BindVnic UnbindVnic
        SelectActivePartition RestartServiceConsoleVirtualNic startDpuFailover
        ResetFirmwareToFactoryDefaults RestoreFirmwareConfiguration ResetSystemHealthInfo
        ResetGuestInformation NotifyAffectedServices ConfigurePowerPolicy
        ConfigureDatastorePrincipal ConfigureLicenseSource ConfigureCryptoKey PrepareCrypto
        CryptoManagerHostPrepare
        CryptoManagerHostEnable CryptoManagerHostDisable UploadKmipServerCert UploadClientCert
        MountVmfsVolume UnmountVmfsVolume UnmountForceMountedVmfsVolume AttachVmfsExtent
        ExpandVmfsExtent ExtendVmfsDatastore ExpandVmfsDatastore UpgradeVmfs UpgradeVmLayout
        ResolveMultipleUnresolvedVmfsVolumes AttachScsiLun DetachScsiLun RescanHba RescanAllHba
        RescanVmfs RescanVffs DiscoverFcoeHbas ExtendVffs MountVffsVolume UnmountVffsVolume
        DiscoverNvmeControllers ConnectNvmeController DisconnectNvmeController
        HostConfigureVFlashResource HostConfigVFlashCache DatastoreEnterMaintenanceMode
        ClusterEnterMaintenanceMode ApplyRecommendation CancelRecommendation
        CancelStorageDrsRecommendation AbandonHciWorkflow AssociateProfile DissociateProfile
        OverwriteCustomizationSpec IncreaseDirectorySize EsxAgentHostManagerUpdateConfig
        DirectPathProfileManagerUpdate UnmarkServiceProviderEntities ExecuteSimpleCommand
        setCustomValue installDate HostRenameVStorageObject HostSetVStorageObjectControlFlags
        HostClearVStorageObjectControlFlags ClearVStorageObjectControlFlags
        AttachTagToVStorageObject DetachTagFromVStorageObject ScheduleReconcileDatastoreInventory
        HostScheduleReconcileDatastoreInventory
        VslmRenameVStorageObject VslmSetVStorageObjectControlFlags VslmCancelTask
        VslmClearVStorageObjectControlFlags VslmAttachTagToVStorageObject
        VslmDetachTagFromVStorageObject VslmScheduleReconcileDatastoreInventory
        CnsUpdateVolumeMetadata CnsAttachVolume CnsDetachVolume CnsConfigureVolumeACLs
        CnsExtendVolume CnsRelocateVolume CnsReconfigVolumePolicy CnsUpdateVolumeCrypto
        PbmUpdate PbmAssignDefaultRequirementProfile PbmResetDefaultRequirementProfile
        PbmResetVSanDefaultProfile Agency_Enable Agency_Disable ResolveAll
        VosSetVsanObjectPolicy RelayoutObjects RebuildDiskMapping UnmountDiskMappingEx
        AbdicateDomOwnership EditIOTripAnalyzerRecurrences UpgradeVsanObjects
        PerformVsanUpgradeEx VsanClusterReconfig VsanVitEditIscsiTarget VsanVitEditIscsiLUN
        VsanRemediateVsanCluster VsanRemediateVsanHost VsanPerfSetStatsObjectPolicy
        VsanPerfToggleVerboseMode VsanUpdateDatastoreSource VsanRebalanceCluster
        VsanStopRebalanceCluster VsanHealthSetVsanClusterSilentChecks VsanVcUploadHclDb
        VsanHealthSetLogLevel VsanUnmountStoragePoolDisks VsanUnmountDiskMappingEx
        VSANVcConvertToStretchedCluster VSANVcSetPreferredFaultDomain
        VsanVcReplaceWitnessHostForClusters VsanHostUpdateFirmware VsanVcUploadReleaseDb
        VsanStartProactiveRebalance VsanStopProactiveRebalance VsanHostAbortWipeDisk
        VsanPostConfigForVcsa VsanClusterReconfigureFsDomain VsanReconfigureFileShare
        VsanUpgradeFsvm VsanRebalanceFileService VsanMigrateVmsToVds VsanVdsMigrateVss
        VsanVssMigrateVds VsanRollbackVdsToVss VsanEnterSiteMaintenanceMode
        VsanExitSiteMaintenanceMode
    """,
}
LISTED = {name: kind for kind, names in _LISTED.items() for name in names.split()}

VERBS = {
    "Add": OperationClass.CREATE,
    "Register": OperationClass.CREATE,
    "Remove": OperationClass.DELETE,
    "Delete": OperationClass.DELETE,
    "Unregister": OperationClass.DELETE,
    "Update": OperationClass.UPDATE,
    "Set": OperationClass.UPDATE,
    "Enable": OperationClass.UPDATE,
    "Disable": OperationClass.UPDATE,
    "Rename": OperationClass.UPDATE,
    "Reconfigure": OperationClass.UPDATE,
    "Change": OperationClass.UPDATE,
    "Mark": OperationClass.UPDATE,
    "Install": OperationClass.UPDATE,
    "Replace": OperationClass.UPDATE,
}
# Verbs that lie: progress reports, cursors, the size of a console window.
_NO_ACTION_NAMES = """
    UpdateProgress SetCollectorPageSize SetLocale SetScreenResolution SetDisplayTopology
    AddMonitoredEntities RemoveMonitoredEntities
"""
_NO_ACTIONS = frozenset(_NO_ACTION_NAMES.split())
_READING_TASKS = (
    "Check",
    "Search",
    "Query",
    "Scan",
    "Estimate",
    "Retrieve",
    "Validate",
    "GenerateHost",
    "PerformVsanUpgradePreflight",
    "RefreshStorageDrs",
)


def operation_class(operation: str) -> OperationClass | None:
    """None: no action."""
    listed = LISTED.get(operation)
    if listed is not None:
        return listed
    if operation.endswith("_Task"):
        return None if operation.startswith(_READING_TASKS) else OperationClass.UPDATE
    if operation.startswith("Nfc"):
        return OperationClass.DISK
    if operation in _NO_ACTIONS:
        return None
    return next((kind for verb, kind in VERBS.items() if _is_verb(verb, operation)), None)


def _is_verb(verb: str, operation: str) -> bool:
    """Is it the first word of the name: of SetField, not of Settle?"""
    following = operation[len(verb) : len(verb) + 1]
    return operation.startswith(verb) and following.isupper()
