"""The interfaces between the packages of the server.

A Deferred that a method returns may have fired already. Sizes are in bytes, times in seconds. All methods are called in
the thread of the reactor.
"""

from imgsvc.interfaces.catalogue import (
    ICatalogue,
    ICatalogueDatabase,
    IDeletionCatalogue,
    IImageCatalogue,
    IInventory,
    ILeaseCatalogue,
    IMemberCatalogue,
    IMetadefCatalogue,
    IProjectCatalogue,
    ITaskCatalogue,
    IUploadCatalogue,
)
from imgsvc.interfaces.events import IEvents
from imgsvc.interfaces.notifications import INotifier
from imgsvc.interfaces.resources import IBudget, IJsonBudget, IReservation, IShare, IThreads
from imgsvc.interfaces.responses import IAnswers, IResponseSink
from imgsvc.interfaces.stores import (
    ICopyingWriter,
    IFileBacked,
    IHoldings,
    IListedStore,
    IMarkedStore,
    IRedirectingStore,
    IResumableStore,
    IResumableWriter,
    IStore,
    IStoredFile,
    IStoreReader,
    IStoreRegistry,
    IStoreWriter,
)
from imgsvc.interfaces.tasks import ITaskKind, ITaskWork, Verdict
from imgsvc.interfaces.trust import ICertificates, IIdentity, IPolicy, IProtections, Owned, RequestHead

__all__ = [
    "IAnswers",
    "IBudget",
    "ICatalogue",
    "ICatalogueDatabase",
    "ICertificates",
    "ICopyingWriter",
    "IDeletionCatalogue",
    "IEvents",
    "IFileBacked",
    "IHoldings",
    "IIdentity",
    "IImageCatalogue",
    "IInventory",
    "IJsonBudget",
    "ILeaseCatalogue",
    "IListedStore",
    "IMarkedStore",
    "IMemberCatalogue",
    "IMetadefCatalogue",
    "INotifier",
    "IPolicy",
    "IProjectCatalogue",
    "IProtections",
    "IRedirectingStore",
    "IReservation",
    "IResponseSink",
    "IResumableStore",
    "IResumableWriter",
    "IShare",
    "IStore",
    "IStoreReader",
    "IStoreRegistry",
    "IStoreWriter",
    "IStoredFile",
    "ITaskCatalogue",
    "ITaskKind",
    "ITaskWork",
    "IThreads",
    "IUploadCatalogue",
    "Owned",
    "RequestHead",
    "Verdict",
]
